# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Certificates of a cluster of the lab: an authority of its own, and who it vouches for. For tests that end today."""

from __future__ import annotations

import datetime
import ipaddress
from collections.abc import Sequence
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

AUTHORITY = "ca"
ACCOUNTS = "accounts"  # the key by which the API signs tokens
# Clocks of virtual machines may be behind.
BEFORE, AFTER = datetime.timedelta(days=2), datetime.timedelta(days=30)


def make_authority(directory: Path) -> None:
    """ca.crt and ca.key, and the pair of keys accounts.key and accounts.pub."""
    key = _new_key(directory / f"{AUTHORITY}.key")
    name = _name("netfleet lab", ())
    usage = x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=True,
        crl_sign=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
    builder = (
        _builder(name, name, key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    certificate = builder.sign(key, hashes.SHA256())
    (directory / f"{AUTHORITY}.crt").write_bytes(certificate.public_bytes(Encoding.PEM))
    accounts = _new_key(directory / f"{ACCOUNTS}.key")
    public = accounts.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    (directory / f"{ACCOUNTS}.pub").write_bytes(public)


def issue(directory: Path, file: str, user: str, groups: Sequence[str] = (), hosts: Sequence[str] = ()) -> None:
    """FILE.crt and FILE.key, by the authority in a directory. user, groups: as the API knows the bearer.

    hosts: names and addresses at which it serves, where it does.
    """
    authority = x509.load_pem_x509_certificate((directory / f"{AUTHORITY}.crt").read_bytes())
    signing = load_pem_private_key((directory / f"{AUTHORITY}.key").read_bytes(), password=None)
    if not isinstance(signing, ec.EllipticCurvePrivateKey):
        raise TypeError(f"{directory / AUTHORITY}.key: not a key that make_authority has made")
    key = _new_key(directory / f"{file}.key")
    uses = [ExtendedKeyUsageOID.CLIENT_AUTH, *([ExtendedKeyUsageOID.SERVER_AUTH] if hosts else [])]
    identifier = authority.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    builder = (
        _builder(_name(user, groups), authority.subject, key.public_key())
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage(uses), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier),
            critical=False,
        )
    )
    if hosts:
        names = x509.SubjectAlternativeName([_served(host) for host in hosts])
        builder = builder.add_extension(names, critical=False)
    certificate = builder.sign(signing, hashes.SHA256())
    (directory / f"{file}.crt").write_bytes(certificate.public_bytes(Encoding.PEM))


def _builder(subject: x509.Name, issuer: x509.Name, public: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BEFORE)
        .not_valid_after(now + AFTER)
    )


def _name(user: str, groups: Sequence[str]) -> x509.Name:
    organizations = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in groups]
    return x509.Name([*organizations, x509.NameAttribute(NameOID.COMMON_NAME, user)])


def _served(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _new_key(path: Path) -> ec.EllipticCurvePrivateKey:
    key = ec.generate_private_key(ec.SECP256R1())
    path.touch(mode=0o600)
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return key
