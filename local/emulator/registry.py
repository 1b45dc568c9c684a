"""The registry behind ECR, to which `docker push` and `docker pull` speak: OCI distribution.

ministack has one too, but it keeps all layers in memory and asks nobody who they are. Of it remain
the manifests and tags, which ECR's API shows; layers are files, and every request is evaluated as
the principal whose password came with it, by the actions that ECR itself evaluates.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from local.emulator import identity
from local.emulator.environment import ACCOUNT, HOST, REGION, Settings
from local.emulator.registry_blobs import Blobs
from local.emulator.registry_tokens import Tokens

_CHUNK = 1 << 20
_MANIFEST_BYTES = 4 << 20
_VERSION = {"docker-distribution-api-version": "registry/2.0"}
# What ECR evaluates for each request: verb of ministack's path parser, method -> action.
_ACTIONS = {
    ("blob", "HEAD"): "ecr:BatchCheckLayerAvailability",
    ("blob", "GET"): "ecr:GetDownloadUrlForLayer",
    ("blob_uploads", "POST"): "ecr:InitiateLayerUpload",
    ("blob_upload_session", "PATCH"): "ecr:UploadLayerPart",
    ("blob_upload_session", "PUT"): "ecr:CompleteLayerUpload",
    ("blob_upload_session", "GET"): "ecr:UploadLayerPart",
    ("blob_upload_session", "DELETE"): "ecr:UploadLayerPart",
    ("manifest", "HEAD"): "ecr:BatchGetImage",
    ("manifest", "GET"): "ecr:BatchGetImage",
    ("manifest", "PUT"): "ecr:PutImage",
    ("tags_list", "GET"): "ecr:ListImages",
}


class _Refused(Exception):
    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


@dataclass(frozen=True)
class _Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes = b""
    file: Path | None = None


class ContainerRegistry:
    """Answers the requests of Docker; `handles` tells which those are."""

    def __init__(self, settings: Settings, tokens: Tokens) -> None:
        self._blobs = Blobs(settings.state / "registry" / "repositories")
        self._tokens = tokens
        self._realm = f"http://{HOST}:{settings.port}/"

    def handles(self, path: str) -> bool:
        """Whether a path is one of the registry's protocol."""
        from ministack import app

        return bool(app._is_ecr_registry_path(path))

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer one request."""
        try:
            answer = await self._answer(scope, _body(receive))
        except _Refused as refused:
            headers = {"content-type": "application/json"}
            if refused.status == 401:
                headers["www-authenticate"] = (
                    f'Basic realm="{self._realm}",service="ecr.amazonaws.com"'
                )
            document = {"errors": [{"code": refused.code, "message": str(refused)}]}
            answer = _Answer(refused.status, headers, json.dumps(document).encode())
        await _send(send, answer, head=scope["method"] == "HEAD")

    async def _answer(self, scope: Any, body: AsyncIterator[bytes]) -> _Answer:
        from ministack.services import ecr

        method, headers = scope["method"], {k.decode(): v.decode() for k, v in scope["headers"]}
        owner = self._tokens.owner(headers.get("authorization", ""))
        if not owner:
            raise _Refused(401, "UNAUTHORIZED", "no basic auth credentials")
        verb, name, reference = ecr._parse_v2_path(scope["path"]) or ("", "", "")
        if verb == "ping":
            return _Answer(200, {"content-type": "application/json"}, b"{}")
        action = _ACTIONS.get((verb, method))
        if action is None:
            raise _Refused(405, "UNSUPPORTED", f"ECR has no {method} at {scope['path']}.")
        arn = f"arn:aws:ecr:{REGION}:{ACCOUNT}:repository/{name}"
        try:
            identity.authorize(owner, action, arn)
        except identity.Denied as denied:
            raise _Refused(403, "DENIED", str(denied)) from denied
        if identity.in_own_context(lambda: name not in ecr._repositories):
            raise _Refused(
                404,
                "NAME_UNKNOWN",
                f"The repository with name '{name}' does not exist in the registry with id "
                f"'{ACCOUNT}'",
            )
        query = {k: v[0] for k, v in parse_qs(scope["query_string"].decode()).items()}
        if verb == "blob":
            return self._blob(name, reference)
        if verb == "blob_uploads":
            return await self._begin(name, query, body)
        if verb == "blob_upload_session":
            return await self._upload(method, name, reference, query, body)
        if verb == "manifest":
            return await self._manifest(method, name, reference, headers, body)
        status, out, content = identity.in_own_context(lambda: ecr._v2_list_tags(name, query))
        return _Answer(status, out, content)

    def _blob(self, name: str, digest: str) -> _Answer:
        path = self._blobs.find(name, digest)
        if path is None:
            raise _Refused(404, "BLOB_UNKNOWN", f"{name} has no blob {digest}.")
        headers = {"content-type": "application/octet-stream", "docker-content-digest": digest}
        return _Answer(200, headers, file=path)

    async def _begin(self, name: str, query: Mapping[str, str], body: Any) -> _Answer:
        mounted = query.get("mount", "")
        if mounted and self._blobs.mount(query.get("from", ""), name, mounted):
            return _stored(name, mounted)
        upload = self._blobs.begin(name)
        if "digest" in query:
            return await self._upload("PUT", name, upload, query, body)
        return _uploading(202, name, upload, 0)

    async def _upload(
        self, method: str, name: str, upload: str, query: Mapping[str, str], body: Any
    ) -> _Answer:
        size = self._blobs.size(name, upload)
        if size is None:
            raise _Refused(404, "BLOB_UPLOAD_UNKNOWN", f"{name} has no upload {upload}.")
        if method == "DELETE":
            self._blobs.cancel(name, upload)
            return _Answer(204, {})
        if method == "GET":
            return _uploading(204, name, upload, size)
        size = await self._blobs.append(name, upload, body)
        if method == "PATCH":
            return _uploading(202, name, upload, size)
        digest = query.get("digest", "")
        actual = await asyncio.to_thread(self._blobs.finish, name, upload, digest)
        if actual != digest or not actual:
            self._blobs.cancel(name, upload)
            raise _Refused(
                400, "DIGEST_INVALID", f"The upload has the digest {actual}, not {digest!r}."
            )
        return _stored(name, digest)

    async def _manifest(
        self, method: str, name: str, reference: str, headers: Mapping[str, str], body: Any
    ) -> _Answer:
        from ministack.services import ecr

        if method != "PUT":
            status, out, content = identity.in_own_context(
                lambda: ecr._v2_get_manifest(name, reference)
            )
            if status == 404:
                raise _Refused(404, "MANIFEST_UNKNOWN", "Requested image not found")
            return _Answer(status, out, content)
        raw = b""
        async for chunk in body:
            raw += chunk
            if len(raw) > _MANIFEST_BYTES:
                raise _Refused(400, "MANIFEST_INVALID", "The manifest is larger than 4 MiB.")
        self._check_manifest(name, raw)
        status, out, content = identity.in_own_context(
            lambda: ecr._v2_put_manifest(name, reference, {**headers}, raw)
        )
        if status == 400 and b"TAG_INVALID" in content:
            raise _Refused(
                400,
                "TAG_INVALID",
                f"The image tag '{reference}' already exists in the '{name}' repository and "
                "cannot be overwritten because the tag is immutable.",
            )
        return _Answer(status, out, content)

    def _check_manifest(self, name: str, raw: bytes) -> None:
        """Refuse a manifest that is none, or whose layers are not there."""
        try:
            manifest = json.loads(raw)
            needed = [manifest["config"], *manifest["layers"]] if "layers" in manifest else []
            digests = [str(each["digest"]) for each in needed]
        except (ValueError, KeyError, TypeError) as error:
            raise _Refused(400, "MANIFEST_INVALID", f"This is no manifest: {error}") from error
        for digest in digests:
            if self._blobs.find(name, digest) is None:
                raise _Refused(400, "MANIFEST_BLOB_UNKNOWN", f"{name} has no blob {digest}.")


def _uploading(status: int, name: str, upload: str, size: int) -> _Answer:
    headers = {
        "location": f"/v2/{name}/blobs/uploads/{upload}",
        "range": f"0-{max(size - 1, 0)}",
        "docker-upload-uuid": upload,
    }
    return _Answer(status, headers)


def _stored(name: str, digest: str) -> _Answer:
    return _Answer(201, {"location": f"/v2/{name}/blobs/{digest}", "docker-content-digest": digest})


async def _body(receive: Any) -> AsyncIterator[bytes]:
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ConnectionResetError("Docker went away in the middle of a request.")
        more = message.get("more_body", False)
        if chunk := message.get("body", b""):
            yield chunk


async def _send(send: Any, answer: _Answer, *, head: bool) -> None:
    size = answer.file.stat().st_size if answer.file else len(answer.body)
    headers = {**_VERSION, **{k.lower(): v for k, v in answer.headers.items()}}
    if answer.status != 204:
        headers["content-length"] = str(size)
    await send(
        {
            "type": "http.response.start",
            "status": answer.status,
            "headers": [(k.encode(), v.encode()) for k, v in headers.items()],
        }
    )
    if answer.file is not None and not head:
        with answer.file.open("rb") as file:
            while chunk := await asyncio.to_thread(file.read, _CHUNK):
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
    await send({"type": "http.response.body", "body": b"" if head else answer.body})
