"""Buckets: MosaicML Streaming's uploaders, and the listing and deleting that they leave to their clients."""

from __future__ import annotations

import copy
import tempfile
import urllib.parse
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any

from streaming.base.storage import CloudUploader

SCHEMES = ("s3", "gs", "azure", "oci")  # of the buckets that can be listed and written
BUCKETS = f"{', '.join(f'{scheme}://' for scheme in SCHEMES)} with a bucket's name"

# What the clients' messages have in common, and what to do about it.
_FIXES = (
    (("404", "NoSuchBucket", "does not exist"), "there is no such bucket: create it or correct the URL"),
    (("403", "AccessDenied"), "these credentials may not use it"),
    (("redentials", "authentication"), "give credentials where the cloud's own tools look for them"),
    (("",), "check the address and the connection"),
)


@dataclass(frozen=True)
class Bucket:
    """One bucket (Azure: container).

    Attributes:
        list: The keys that start with a prefix.
        delete: Deletes the object with a key.
    """

    list: Callable[[str], list[str]]
    delete: Callable[[str], Any]


def open_bucket(url: str) -> Bucket:
    """The bucket of a URL, through the client of :func:`open_uploader`.

    Raises:
        NotImplementedError: A kind of store that is not in :data:`SCHEMES`.
        Exception: As :func:`open_uploader`.
    """
    uploader, place = open_uploader(url), urllib.parse.urlparse(url)
    if place.scheme == "s3":
        return _boto(uploader.s3, place.netloc)
    if place.scheme == "gs":
        client = uploader.gcs_client  # boto3's where HMAC keys are given, else Google's own
        return _boto(client, place.netloc) if hasattr(client, "head_bucket") else _google(client, place.netloc)
    if place.scheme == "azure":
        return _azure(uploader.azure_service, place.netloc)
    if place.scheme == "oci":
        return _oci(uploader.client, uploader.namespace, place.netloc)
    raise NotImplementedError(f"{place.scheme}:// cannot be listed")


def open_uploader(url: str) -> Any:
    """Streaming's uploader of a URL's bucket; one for all URLs of a bucket.

    Raises:
        Exception: There is no such bucket or no right to it; every cloud's client has exceptions of its own.
    """
    place = urllib.parse.urlparse(url)
    return _uploader(f"{place.scheme}://{place.netloc}")


@cache
def _uploader(bucket: str) -> Any:
    with tempfile.TemporaryDirectory() as unused:
        return CloudUploader.get((unused, bucket))


def move(folder: str, names: Iterable[str], url: str) -> None:
    """Moves files of a local folder to a URL, one after another; each appears whole, whatever happens on the way.

    Raises:
        Exception: As :func:`open_uploader`, after a second try.
    """
    uploader = copy.copy(open_uploader(url))  # shares the client
    uploader.local, uploader.remote = folder, url
    for name in names:
        uploader.upload_file(name)


def is_bucket(url: str) -> bool:
    """Whether a URL is of a bucket that can be listed and written."""
    place = urllib.parse.urlparse(url)
    return place.scheme in SCHEMES and bool(place.netloc)


def explain(url: str, error: Exception) -> str:
    """What a cloud's client says, and what to do about it; they have retried what is worth it when they raise."""
    cause = f"{type(error).__name__}: {error}"
    fix = next(fix for signs, fix in _FIXES if any(sign in cause for sign in signs))
    return f"{url}: cannot be reached or written ({cause}); {fix}"


def key_prefix(url: str) -> str:
    """What the keys of a URL's objects start with: empty for a whole bucket."""
    path = urllib.parse.urlparse(url).path.strip("/")
    return f"{path}/" if path else ""


def _boto(client: Any, bucket: str) -> Bucket:
    def keys(prefix: str) -> list[str]:
        pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        return [entry["Key"] for page in pages for entry in page.get("Contents", ())]

    return Bucket(keys, lambda key: client.delete_object(Bucket=bucket, Key=key))


def _google(client: Any, bucket: str) -> Bucket:
    return Bucket(
        lambda prefix: [blob.name for blob in client.list_blobs(bucket, prefix=prefix)],
        lambda key: client.bucket(bucket).delete_blob(key),
    )


def _azure(service: Any, container: str) -> Bucket:
    client = service.get_container_client(container)
    return Bucket(lambda prefix: list(client.list_blob_names(name_starts_with=prefix)), client.delete_blob)


def _oci(client: Any, namespace: str, location: str) -> Bucket:
    bucket = location.split("@" + namespace)[0]

    def keys(prefix: str) -> list[str]:
        found: list[str] = []
        start = None
        while True:
            page = client.list_objects(namespace, bucket, prefix=prefix, start=start).data
            found += [entry.name for entry in page.objects]
            start = page.next_start_with
            if not start:
                return found

    return Bucket(keys, lambda key: client.delete_object(namespace, bucket, key))
