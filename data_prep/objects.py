"""Buckets: MosaicML Streaming's uploaders, and the listing and deleting that they leave to their clients."""

from __future__ import annotations

import tempfile
import urllib.parse
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

from streaming.base.storage import CloudUploader

SCHEMES = ("s3", "gs", "azure", "oci")  # of the buckets that can be listed and written


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
