"""Values of a cache as bytes, typed and checked, without pickle: who can write to the servers can run no code here."""

from typing import Any

from django_redis.serializers.base import BaseSerializer

from cacheops.encoding import objects


class TypedSerializer(BaseSerializer):
    """For OPTIONS["SERIALIZER"]: holds what cached functions can return (cacheops/encoding/objects.py), faithfully.

    Other values raise UnencodableValue; bytes that are not ours raise CorruptEntry, which a look-up takes for a miss.
    """

    def dumps(self, value: Any) -> bytes:
        return objects.encoded(value)

    def loads(self, value: bytes) -> Any:
        return objects.decoded(value)
