"""Images by URL, within limits on size, time and redirects, and not from private addresses.

Rows are untrusted: a URL must not make this machine send requests to services in its own network
(SSRF). So the host name is resolved once, every address is checked, and the connection goes to a checked
address. Proxies are not used.
"""

from __future__ import annotations

import ipaddress
import socket
import ssl
import time
from http.client import HTTPConnection, HTTPException, HTTPResponse
from urllib.parse import SplitResult, urljoin, urlsplit

from vlt.datagen.sources.record import BadRow
from vlt.images.inspect import MAX_BYTES

SILENCE, WHOLE = 15.0, 60.0
"""Seconds without a byte, and for the whole image."""
REDIRECTS = 5
ATTEMPTS = 3
PASSING = (408, 425, 429, 500, 502, 503, 504)


class _Passing(Exception):
    """A temporary error, worth a retry."""


def fetch_image(url: str, *, private: bool = False) -> bytes:
    """The content of `url`; thread-safe. `private` allows addresses in the user's own network.

    Raises BadRow if it cannot or must not be fetched.
    """
    deadline = time.monotonic() + WHOLE
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return _followed(url, private, deadline)
        except _Passing as trouble:
            if attempt == ATTEMPTS or time.monotonic() + attempt > deadline:
                raise BadRow(f"image URL does not answer: {trouble} {url[:200]}") from None
            time.sleep(0.5 * attempt)
    raise AssertionError("the last attempt returns or raises")


def _followed(url: str, private: bool, deadline: float) -> bytes:
    first = url
    for _ in range(REDIRECTS + 1):
        found = _fetched(url, private, deadline)
        if isinstance(found, bytes):
            return found
        try:
            url = urljoin(url, found)
        except ValueError:
            raise BadRow(f"image URL is broken: {found[:200]}") from None
    raise BadRow(f"image URL is redirected too often: {first[:200]}")


def _fetched(url: str, private: bool, deadline: float) -> bytes | str:
    """The bytes, or the URL to which it redirects."""
    try:
        parts = urlsplit(url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError:
        raise BadRow(f"image URL is broken: {url[:200]}") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise BadRow(f"image URL is not http or https: {url[:200]}")
    address = _address(parts.hostname, port, private, url)
    try:
        connection = _connected(parts, address, port)
        try:
            path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
            headers = {"User-Agent": "vlt", "Accept": "image/*", "Accept-Encoding": "identity"}
            connection.request("GET", path, headers=headers)
            return _read(connection.getresponse(), url, deadline)
        finally:
            connection.close()
    except ssl.SSLCertVerificationError as error:
        raise BadRow(
            f"image URL has a bad certificate: {error.verify_message} {url[:200]}"
        ) from None
    except (UnicodeError, ValueError):
        raise BadRow(f"image URL is broken: {url[:200]}") from None
    except (OSError, HTTPException) as error:
        raise _Passing(f"{type(error).__name__}") from None


def _address(host: str, port: int, private: bool, url: str) -> str:
    """The address to connect to; none of the host's may be private, unless that is allowed."""
    try:
        found = {str(i[4][0]) for i in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)}
    except (OSError, UnicodeError):
        raise BadRow(f"image URL names no host: {url[:200]}") from None
    if not private and not all(_is_public(address) for address in found):
        raise BadRow(f"image URL leads to a private address: {url[:200]}")
    return min(found, key=lambda address: ":" in address)  # IPv4 before IPv6


def _is_public(address: str) -> bool:
    ip = ipaddress.ip_address(address.split("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        ip = ip.ipv4_mapped or ip.sixtofour or ip
    return ip.is_global and not ip.is_multicast


def _connected(parts: SplitResult, address: str, port: int) -> HTTPConnection:
    assert parts.hostname is not None
    connection = HTTPConnection(parts.hostname, port, timeout=SILENCE)
    opened = socket.create_connection((address, port), timeout=SILENCE)
    if parts.scheme == "https":
        try:
            context = ssl.create_default_context()
            opened = context.wrap_socket(opened, server_hostname=parts.hostname)
        except OSError:
            opened.close()
            raise
    connection.sock = opened
    return connection


def _read(response: HTTPResponse, url: str, deadline: float) -> bytes | str:
    if response.status in (301, 302, 303, 307, 308) and response.getheader("Location"):
        return str(response.getheader("Location"))
    if response.status in PASSING:
        raise _Passing(str(response.status))
    if response.status != 200:
        raise BadRow(f"image URL answers {response.status}: {url[:200]}")
    kept = bytearray()
    while piece := response.read1(1 << 16):
        kept += piece
        if len(kept) > MAX_BYTES:
            raise BadRow(f"image behind the URL is too big (over {MAX_BYTES:,} bytes): {url[:200]}")
        if time.monotonic() > deadline:
            raise BadRow(f"image URL is too slow (over {WHOLE:.0f} s): {url[:200]}")
    said = response.getheader("Content-Length")
    if said and said.isdigit() and int(said) > len(kept):
        raise _Passing("cut short")
    return bytes(kept)
