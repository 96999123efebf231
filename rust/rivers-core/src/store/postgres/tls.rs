//! Encryption of connections: rustls with the system's authorities.

use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{
    AlertDescription, CertificateError, ClientConfig, DigitallySignedStruct, Error as TlsError,
    RootCertStore, SignatureScheme,
};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::url::{TlsFiles, Verification};
use crate::error::{Error, Result};

/// # Errors
/// `Configuration` if a file cannot be read, or there are no authorities to verify the server with.
pub(super) fn connector(verification: Verification, files: &TlsFiles) -> Result<MakeRustlsConnect> {
    let provider = Arc::new(ring::default_provider());
    let refused = |what: &str, error: &dyn std::fmt::Display| {
        Error::Configuration(format!("{what}: {error}"))
    };
    let inner = match verification {
        Verification::None => None,
        Verification::Authority | Verification::Name => {
            let roots = Arc::new(roots(files)?);
            let built = WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(&provider));
            let what = "the server's certificate cannot be verified";
            Some(built.build().map_err(|error| refused(what, &error))?)
        }
    };
    let verifier = Verifier {
        inner,
        verification,
        provider: Arc::clone(&provider),
    };
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| refused("TLS is not available", &error))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier));
    let config = match (&files.certificate, &files.key) {
        (Some(certificate), Some(key)) => {
            let what =
                |path: &str| format!("the file {path:?} of the storage's URL cannot be used");
            let chain = certificates(certificate)?;
            let key =
                PrivateKeyDer::from_pem_file(key).map_err(|error| refused(&what(key), &error))?;
            let built = builder.with_client_auth_cert(chain, key);
            built.map_err(|error| refused(&what(certificate), &error))?
        }
        (None, None) => builder.with_no_client_auth(),
        (Some(_), None) | (None, Some(_)) => {
            let text = "the storage's URL must have both sslcert and sslkey, or neither";
            return Err(Error::Configuration(text.into()));
        }
    };
    Ok(MakeRustlsConnect::new(config))
}

/// What to do about a certificate that was not accepted; `None` if the error is about something else.
pub(super) fn explanation(error: &tokio_postgres::Error) -> Option<String> {
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        let inner = cause.downcast_ref::<std::io::Error>();
        let inner = inner.and_then(|error| error.get_ref()?.downcast_ref::<TlsError>());
        if let Some(error) = inner.or_else(|| cause.downcast_ref::<TlsError>()) {
            return explain(error);
        }
        source = cause.source();
    }
    None
}

fn explain(error: &TlsError) -> Option<String> {
    let own = match error {
        TlsError::InvalidCertificate(error) => match error {
            CertificateError::UnknownIssuer => {
                "the server's certificate comes from an unknown authority: name the file with the right one as \
                 sslrootcert"
                    .into()
            }
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                "the server's certificate has expired".into()
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                "the server's certificate is not valid yet".into()
            }
            other => format!("the server's certificate cannot be used: {other}"),
        },
        TlsError::NoCertificatesPresented => "the server shows no certificate".into(),
        TlsError::AlertReceived(
            alert @ (AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnknownCA
            | AlertDescription::AccessDenied
            | AlertDescription::CertificateRequired),
        ) => {
            format!("the server does not accept the client's certificate (sslcert): {alert:?}")
        }
        _ => return None,
    };
    Some(own)
}

fn certificates(path: &str) -> Result<Vec<CertificateDer<'static>>> {
    let refused = |error: &dyn std::fmt::Display| {
        let text = format!("the file {path:?} of the storage's URL cannot be used: {error}");
        Error::Configuration(text)
    };
    let found = CertificateDer::pem_file_iter(path).map_err(|error| refused(&error))?;
    let found: std::result::Result<Vec<_>, _> = found.collect();
    match found {
        Ok(found) if found.is_empty() => Err(refused(&"it has no certificate")),
        found => found.map_err(|error| refused(&error)),
    }
}

/// The authorities of the URL's file, or of the system.
fn roots(files: &TlsFiles) -> Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    let found = match &files.root {
        Some(path) if path != "system" => certificates(path)?,
        Some(_) | None => rustls_native_certs::load_native_certs().certs,
    };
    roots.add_parsable_certificates(found);
    Ok(roots)
}

/// Verifies as much of a certificate as `sslmode` asks for.
#[derive(Debug)]
struct Verifier {
    inner: Option<Arc<WebPkiServerVerifier>>,
    verification: Verification,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> std::result::Result<ServerCertVerified, TlsError> {
        let Some(inner) = &self.inner else {
            return Ok(ServerCertVerified::assertion());
        };
        match inner.verify_server_cert(certificate, intermediates, name, ocsp, now) {
            Err(TlsError::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) if self.verification == Verification::Authority => {
                Ok(ServerCertVerified::assertion())
            }
            verified => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, TlsError> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, TlsError> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let algorithms = &self.provider.signature_verification_algorithms;
        algorithms.supported_schemes()
    }
}
