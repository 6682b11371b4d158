"""Encryption: which certificate the server shows, and which it asks of clients."""

import ssl
from pathlib import Path

import msgspec

from lepton_ai.core import ConfigError


class Tls(msgspec.Struct, frozen=True, kw_only=True):
    """PEM files. With `client_ca`, a client must show a certificate that this authority signed."""

    certificate: str
    key: str
    client_ca: str | None = None

    def context(self) -> ssl.SSLContext:
        """TLS 1.2 or newer.

        Raises: ConfigError for files that cannot be read or do not belong together.
        """
        made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        made.minimum_version = ssl.TLSVersion.TLSv1_2
        made.set_alpn_protocols(["http/1.1"])
        try:
            made.load_cert_chain(self.certificate, self.key)
            if self.client_ca is not None:
                made.load_verify_locations(self.client_ca)
                made.verify_mode = ssl.CERT_REQUIRED
        except (OSError, ssl.SSLError) as error:
            names = ", ".join(Path(each).name for each in (self.certificate, self.key, self.client_ca) if each)
            raise ConfigError(
                f"cannot use {names} ({error})", at="tls", fix="Give PEM files: a certificate and its key."
            ) from error
        return made
