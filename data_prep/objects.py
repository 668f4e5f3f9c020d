"""Listing and deleting the objects of a bucket, which MosaicML Streaming's uploaders leave to their clients."""

from __future__ import annotations

import urllib.parse
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Bucket:
    """One bucket (Azure: container).

    Attributes:
        list: The keys that start with a prefix.
        delete: Deletes the object with a key.
    """

    list: Callable[[str], list[str]]
    delete: Callable[[str], Any]


def open_bucket(uploader: Any) -> Bucket:
    """The bucket that an uploader of Streaming's writes to, through the same client."""
    url = urllib.parse.urlparse(uploader.remote)
    if url.scheme == "s3":
        return _boto(uploader.s3, url.netloc)
    if url.scheme == "azure":
        return _azure(uploader.azure_service, url.netloc)
    if url.scheme == "oci":
        return _oci(uploader.client, uploader.namespace, url.netloc)
    client = uploader.gcs_client  # boto3's where HMAC keys are given, else Google's own
    return _boto(client, url.netloc) if hasattr(client, "head_bucket") else _google(client, url.netloc)


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
