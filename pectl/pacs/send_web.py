"""Sending by STOW-RS, reading back by QIDO-RS (PS3.18)."""

import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import requests

from pectl.errors import PacsError
from pectl.pacs.address import Web
from pectl.pacs.send import Outgoing

CONNECT_SECONDS, ANSWER_SECONDS = 10.0, 60.0
_STORED, _SOME_STORED, _NO_CONTENT = 200, 202, 204
_FAILED_SEQUENCE, _FAILURE_REASON = "00081198", "00081197"
_IMAGE = "00080018"
Attributes = dict[str, dict[str, list[Any]]]


class WebDestination:
    """A DICOMweb server. Who one is, is read from ~/.netrc; its certificate has to be of an authority that is known."""

    def __init__(self, web: Web) -> None:
        self.name = web.url
        self._url = web.url

    @contextmanager
    def open(self, items: Sequence[Outgoing]) -> Iterator["_Link"]:
        """Open a session; the server is reached with the first request."""
        with requests.Session() as session:
            yield _Link(session, self._url)


class _Link:
    """A session with a server."""

    def __init__(self, session: requests.Session, url: str) -> None:
        self._session, self._url = session, url

    def holds(self, item: Outgoing) -> bool:
        """Ask for one object, by QIDO-RS."""
        url = f"{self._url}/studies/{item.study}/series/{item.series}/instances"
        headers = {"Accept": "application/dicom+json"}
        answer = self._request("GET", url, params={"SOPInstanceUID": item.image}, headers=headers)
        if answer.status_code in (_NO_CONTENT, requests.codes.not_found):
            return False
        if answer.status_code != _STORED:
            raise self._refused("an answer to QIDO-RS", f"HTTP status {answer.status_code}")
        return any(item.image in _values(one, _IMAGE) for one in self._read(answer))

    def store(self, items: Sequence[Outgoing]) -> None:
        """Send objects one after another, by STOW-RS."""
        for item in items:
            boundary = uuid.uuid4().hex
            head = f"--{boundary}\r\nContent-Type: application/dicom\r\n\r\n".encode()
            body = head + item.path.read_bytes() + f"\r\n--{boundary}--\r\n".encode()
            kind = f'multipart/related; type="application/dicom"; boundary={boundary}'
            headers = {"Content-Type": kind, "Accept": "application/dicom+json"}
            answer = self._request("POST", f"{self._url}/studies/{item.study}", data=body, headers=headers)
            if answer.status_code not in (_STORED, _SOME_STORED):
                raise self._refused("an object to be stored", f"HTTP status {answer.status_code}")
            if failed := _values(self._read(answer)[0], _FAILED_SEQUENCE):
                raise self._refused("an object to be stored", f"failure {_values(failed[0], _FAILURE_REASON)}")

    def _request(
        self,
        method: str,
        url: str,
        headers: dict[str, str],
        params: dict[str, str] | None = None,
        data: bytes | None = None,
    ) -> requests.Response:
        limits = (CONNECT_SECONDS, ANSWER_SECONDS)
        try:
            return self._session.request(method, url, headers=headers, params=params, data=data, timeout=limits)
        except requests.RequestException as error:
            raise self._refused("to reach the server", type(error).__name__) from error

    def _read(self, answer: requests.Response) -> list[Attributes]:
        """Return the datasets of an answer in the DICOM JSON model (PS3.18 F); STOW-RS has one."""
        try:
            content = answer.json()
        except requests.JSONDecodeError as error:
            raise self._refused("an answer in the DICOM JSON model", "other text") from error
        return content if isinstance(content, list) else [content]

    def _refused(self, expected: str, found: str) -> PacsError:
        fix = "check the URL, the server, and ~/.netrc if it asks who one is"
        return PacsError(where=self._url, expected=expected, found=found, fix=fix)


def _values(attributes: Attributes, tag: str) -> list[Any]:
    return attributes.get(tag, {}).get("Value", [])
