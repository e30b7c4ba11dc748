"""manage.py invalidate: make entries misses, by hand."""

from typing import Any

from django.apps import apps
from django.core.exceptions import ObjectDoesNotExist, ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser

from cacheops.invalidation import invalidate_all, invalidate_model, invalidate_obj, primary_databases
from cacheops.relay.delivery import deliveries


class Command(BaseCommand):
    help = "Invalidate what is cached of everything, an app, a model, or an object, in every region."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("what", nargs="+", metavar="WHAT", help="'all', 'app', 'app.model' or 'app.model.pk'")

    def handle(self, *args: Any, what: list[str], **options: Any) -> None:
        for name in what:
            self.stdout.write(self._invalidate(name))
        for delivery in deliveries(primary_databases()):
            self.stdout.write(delivery.words())

    def _invalidate(self, name: str) -> str:
        if name == "all":
            invalidate_all()
            return "Invalidated everything."
        app_label, _, rest = name.partition(".")
        try:
            app = apps.get_app_config(app_label)
            if not rest:
                for model in app.get_models(include_auto_created=True):
                    invalidate_model(model)
                return f"Invalidated every model of {app.label}."
            model_name, _, pk = rest.partition(".")
            model = app.get_model(model_name)
        except LookupError as error:
            raise CommandError(f"{name}: {error} Use 'all', 'app', 'app.model' or 'app.model.pk'.") from error
        if not pk:
            invalidate_model(model)
            return f"Invalidated {model._meta.label}."
        try:
            obj = model._default_manager.using("default").get(pk=pk)
        except (ObjectDoesNotExist, ValidationError, ValueError) as error:
            raise CommandError(f"{name}: {error}") from error
        invalidate_obj(obj)
        return f"Invalidated {model._meta.label} {pk}."
