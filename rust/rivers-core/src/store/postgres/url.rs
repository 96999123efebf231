//! A server's URL: what of it the driver does not know, and the URL without its password.

use std::time::Duration;

use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode};

use crate::error::{Error, Result};

/// How the server is verified before the password is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verification {
    /// Not at all: the connection is encrypted only.
    None,
    /// Its certificate has to come from a known authority.
    Authority,
    /// Its certificate must be for the host's name, too.
    Name,
}

/// Files for encryption that a URL names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct TlsFiles {
    pub(super) root: Option<String>,
    pub(super) certificate: Option<String>,
    pub(super) key: Option<String>,
}

/// Where a storage is, and how to connect to it.
#[derive(Debug, Clone)]
pub(super) struct Address {
    pub(super) config: Config,
    pub(super) schema: String,
    pub(super) verification: Verification,
    pub(super) tls_files: TlsFiles,
    /// The URL without its password.
    pub(super) shown: String,
}

/// How long connecting to a host may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// The schema of a storage whose URL names none.
const DEFAULT_SCHEMA: &str = "rivers";
/// PostgreSQL cuts longer names.
const MAX_SCHEMA: usize = 63;

impl Address {
    /// # Errors
    /// `Configuration`, which never shows the password.
    pub(super) fn parse(url: &str) -> Result<Self> {
        let refused = |why: &str| {
            let form = "postgresql://USER:PASSWORD@HOST:PORT/DATABASE?schema=NAME";
            Error::Configuration(format!("the URL of the storage {why}; its form is {form}"))
        };
        let (base, query) = url.split_once('?').unwrap_or((url, ""));
        let mut schema = DEFAULT_SCHEMA.to_owned();
        let mut tls_files = TlsFiles::default();
        let mut verification = None;
        let mut rest = Vec::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let text = decoded(value).ok_or_else(|| refused("has a damaged % escape"))?;
            match (name, text.as_str()) {
                ("schema", _) => schema = text,
                ("sslrootcert", _) => tls_files.root = Some(text),
                ("sslcert", _) => tls_files.certificate = Some(text),
                ("sslkey", _) => tls_files.key = Some(text),
                ("sslmode", "verify-ca") => verification = Some(Verification::Authority),
                ("sslmode", "verify-full") => verification = Some(Verification::Name),
                ("sslmode", "disable" | "prefer" | "require") => rest.push(pair.to_owned()),
                ("sslmode", _) => {
                    return Err(refused(
                        "has an unknown sslmode: it is disable, prefer, require, verify-ca or verify-full",
                    ));
                }
                _ => rest.push(pair.to_owned()),
            }
        }
        if schema.is_empty() || schema.len() > MAX_SCHEMA || schema.contains('\0') {
            return Err(refused("names a schema that PostgreSQL does not accept"));
        }
        let mut plain = base.to_owned();
        if !rest.is_empty() {
            plain = format!("{base}?{}", rest.join("&"));
        }
        // The driver's message may quote parts of the URL.
        let mut config: Config = plain
            .parse()
            .map_err(|_| refused("cannot be read as one of PostgreSQL"))?;
        if config.get_hosts().is_empty() {
            return Err(refused("names no host"));
        }
        if verification.is_some() {
            config.ssl_mode(SslMode::Require);
        }
        // As in libpq: with a file of authorities, `require` verifies them.
        let default = match (&tls_files.root, config.get_ssl_mode()) {
            (Some(_), SslMode::Require) => Verification::Authority,
            _ => Verification::None,
        };
        if config.get_application_name().is_none() {
            config.application_name("rivers");
        }
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(CONNECT_TIMEOUT);
        }
        // A host that is gone says nothing: the system asks it, and gives up on what it does not confirm.
        config.keepalives_idle(CONNECT_TIMEOUT);
        config.keepalives_interval(CONNECT_TIMEOUT / 2);
        config.keepalives_retries(2);
        if config.get_tcp_user_timeout().is_none() {
            config.tcp_user_timeout(CONNECT_TIMEOUT);
        }
        Ok(Self {
            shown: shown(&config, &schema),
            config,
            schema,
            verification: verification.unwrap_or(default),
            tls_files,
        })
    }

    /// SQL in which `@` stands for the schema.
    pub(super) fn sql(&self, text: &str) -> String {
        text.replace('@', &format!("{}.", self.quoted_schema()))
    }

    pub(super) fn quoted_schema(&self) -> String {
        format!("\"{}\"", self.schema.replace('"', "\"\""))
    }
}

fn shown(config: &Config, schema: &str) -> String {
    let user = config
        .get_user()
        .map_or(String::new(), |user| format!("{user}@"));
    let ports = config.get_ports();
    let hosts = config.get_hosts().iter().enumerate().map(|(at, host)| {
        let name = match host {
            Host::Tcp(name) => name.clone(),
            Host::Unix(path) => path.display().to_string(),
        };
        match ports.get(at).or(ports.first()) {
            Some(port) => format!("{name}:{port}"),
            None => name,
        }
    });
    let hosts: Vec<String> = hosts.collect();
    let database = config.get_dbname().unwrap_or("");
    let schema = match schema {
        DEFAULT_SCHEMA => String::new(),
        other => format!("?schema={other}"),
    };
    format!("postgresql://{user}{}/{database}{schema}", hosts.join(","))
}

/// A text with its % escapes resolved.
fn decoded(text: &str) -> Option<String> {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        if bytes[at] == b'%' {
            let digits = text.get(at + 1..at + 3)?;
            out.push(u8::from_str_radix(digits, 16).ok()?);
            at += 3;
        } else {
            out.push(bytes[at]);
            at += 1;
        }
    }
    String::from_utf8(out).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_never_shown() {
        for url in [
            "postgresql://me:s3cret@db:5432/work",
            "postgres://me:s3cret@a:1,b:2/work?target_session_attrs=read-write&schema=x",
            "postgresql://db/work?user=me&password=s3cret",
        ] {
            let address = Address::parse(url).expect("it is a URL");
            assert!(!address.shown.contains("s3cret"), "{}", address.shown);
            assert!(
                address.shown.starts_with("postgresql://me@"),
                "{}",
                address.shown
            );
        }
        for url in [
            "postgresql://me:s3cret@db:port/x",
            "postgresql://me:s3cret@db/x?sslmode=s3cret",
        ] {
            let error = Address::parse(url).expect_err("it is none").to_string();
            assert!(!error.contains("s3cret"), "{error}");
        }
    }

    #[test]
    fn modes_of_encryption_are_those_of_libpq() {
        let mode = |query: &str| {
            let address = Address::parse(&format!("postgresql://db/x?{query}")).expect("a URL");
            (address.config.get_ssl_mode(), address.verification)
        };
        assert_eq!(mode(""), (SslMode::Prefer, Verification::None));
        assert_eq!(
            mode("sslmode=require"),
            (SslMode::Require, Verification::None)
        );
        let rooted = mode("sslmode=require&sslrootcert=/x.pem");
        assert_eq!(rooted, (SslMode::Require, Verification::Authority));
        assert_eq!(
            mode("sslmode=verify-ca"),
            (SslMode::Require, Verification::Authority)
        );
        assert_eq!(
            mode("sslmode=verify-full"),
            (SslMode::Require, Verification::Name)
        );
        assert!(Address::parse("postgresql://db/x?sslmode=verify").is_err());
    }

    #[test]
    fn a_schema_is_quoted() {
        let address = Address::parse("postgresql://db/x?schema=a%22b").expect("a URL");
        assert_eq!(
            address.sql("SELECT 1 FROM @t"),
            "SELECT 1 FROM \"a\"\"b\".t"
        );
        let address = Address::parse("postgresql://db/x?schema=a@b").expect("a URL");
        assert_eq!(address.sql("@t, @u"), "\"a@b\".t, \"a@b\".u");
        assert!(Address::parse("postgresql://db/x?schema=").is_err());
    }
}
