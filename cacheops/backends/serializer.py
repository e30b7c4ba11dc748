"""Values of a cache as bytes, typed and checked, without pickle: who can write to the servers can run no code here."""

from typing import Any

from django_redis.serializers.base import BaseSerializer

from cacheops import values


class TypedSerializer(BaseSerializer):
    """For OPTIONS["SERIALIZER"]: holds what cached functions can return (cacheops/values.py), faithfully.

    Other values raise UnencodableValue; bytes that are not ours raise CorruptEntry, which a look-up takes for a miss.
    """

    def dumps(self, value: Any) -> bytes:
        return values.encoded(value)

    def loads(self, value: bytes) -> Any:
        return values.decoded(value)
