// Search runs in a worker, and browsers let no page make one that was opened from a file. There an inert frame does its work.
// The site's builder takes this file for the script that it would else load from another host, by its name.
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    constructor(url) {
      super();
      const frame = document.createElement("iframe");
      frame.hidden = true;
      document.body.append(frame);
      this.inner = frame.contentWindow;
      // Like a worker's: copies, and not before the sender is done.
      this.inner.postMessage = (data) => setTimeout((copy) => this.answer(copy), 0, structuredClone(data));
      this.inner.importScripts = (...urls) =>
        urls.reduce((before, each) => before.then(() => this.load(each)), Promise.resolve());
      this.ready = this.load(url);
    }

    load(url) {
      return new Promise((resolve, reject) => {
        const script = this.inner.document.createElement("script");
        Object.assign(script, {src: url, onload: resolve, onerror: reject});
        this.inner.document.body.append(script);
      });
    }

    answer(data) {
      const event = new MessageEvent("message", {data});
      this.dispatchEvent(event);
      if (this.onmessage) this.onmessage(event);
    }

    postMessage(message) {
      const data = structuredClone(message);
      this.ready.then(() => this.inner.dispatchEvent(new MessageEvent("message", {data})));
    }

    terminate() {
      this.inner.frameElement.remove();
    }
  };
}
