"""Certificate requests over SM2 (PKCS#10, RFC 2986): made where the key lives, signed where the authority's key lives."""

from __future__ import annotations

from dataclasses import dataclass

from cryptography import x509

from scada.security import der, pkcs8
from scada.security.certificates import MAXIMUM_SIZE, CertificateError, common_name, name_der, signed_der
from scada.security.sm2 import Signer, Sm2PublicKey
from scada.security.sm2_encoding import point_of_public_key_der, public_key_der, signature_from_der

_LABEL = "CERTIFICATE REQUEST"
_LABELS = (_LABEL, "NEW CERTIFICATE REQUEST")


@dataclass(frozen=True, slots=True)
class Request:
    """A request whose signature was proven: whoever made it holds the key.

    Attributes:
        encoded: DER.
        name: common name that is asked for.
        public_key: the key.
    """

    encoded: bytes
    name: str
    public_key: Sm2PublicKey

    def pem(self) -> bytes:
        """PEM text."""
        return pkcs8.to_pem(_LABEL, self.encoded)


def make_request(name: str, signer: Signer) -> Request:
    """Ask for a certificate of a name for the key of a signer.

    Raises:
        CertificateError: the name cannot be shown.
    """
    body = der.tlv(
        der.SEQUENCE, der.integer(0), name_der(name), public_key_der(signer.point()), der.tlv(der.explicit(0))
    )  # fmt: skip
    return parse_request(signed_der(body, signer.sign(body)))


def parse_request(data: bytes) -> Request:
    """Read and prove a request, DER or PEM. What it asks for besides name and key is ignored: the authority decides.

    Raises:
        CertificateError: malformed, too long, not over SM2 with SM3, or not signed by its own key.
    """
    if len(data) > MAXIMUM_SIZE:
        raise CertificateError(f"the request has more than {MAXIMUM_SIZE} bytes")
    try:
        return _read(pkcs8.unwrap(data, *_LABELS))
    except CertificateError:
        raise
    except Exception as error:  # the parser raises many kinds for hostile bytes
        raise CertificateError(f"not a readable SM2 certificate request: {error}") from error


def split_requests(data: bytes) -> tuple[bytes, bytes | None]:
    """The request, and that for a TLS certificate which ``scada keys request`` puts behind it (PEM); None if there is none.

    Raises:
        CertificateError: there are more than two.
    """
    first, end, rest = data.partition(b"-----END CERTIFICATE REQUEST-----")
    if not rest.strip():
        return data, None
    if len(data) > 2 * MAXIMUM_SIZE or rest.count(b"-----BEGIN ") != 1:
        raise CertificateError("the file holds more than a request and one for TLS")
    return first + end + b"\n", rest.strip() + b"\n"


def _read(encoded: bytes) -> Request:
    read = x509.load_der_x509_csr(encoded)
    body, signature = read.tbs_certrequest_bytes, signature_from_der(read.signature)
    if encoded != signed_der(body, signature):
        raise CertificateError("the request is not signed by SM2 with SM3, or its encoding is not canonical")
    fields = der.Reader(body).nested()
    fields.unsigned()
    fields.take(der.SEQUENCE)
    key = Sm2PublicKey(point_of_public_key_der(der.tlv(der.SEQUENCE, fields.take(der.SEQUENCE))))
    if not key.verify(signature, body):
        raise CertificateError("the signature on the request is wrong: its maker does not hold the key")
    return Request(encoded, common_name(read.subject), key)
