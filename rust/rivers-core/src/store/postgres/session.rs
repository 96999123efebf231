//! A connection to the server, made anew when it breaks.

use std::future::Future;
use std::mem::ManuallyDrop;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Runtime};
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Row};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::url::Address;
use crate::error::{Error, Result};
use crate::store::fork;

/// How long work may take, at the first attempt, the second and so on: whether a connection is frozen or a statement
/// takes long shows on another connection.
const TIMEOUTS: [Duration; 3] = [
    Duration::from_secs(3),
    Duration::from_secs(15),
    Duration::from_secs(60),
];
/// How long a statement may take that reads or writes a few rows by their keys: then the connection is given up.
pub(super) const BRIEF: Duration = Duration::from_secs(2);
/// Pause between two attempts to reach the server.
const PAUSE: Duration = Duration::from_millis(50);
/// How long a migration may take.
const LONGEST: Duration = Duration::from_secs(86_400);
const NO_ANSWER: &str = "the server does not answer";
/// How long a statement that can be repeated is repeated while the server cannot be reached.
const PATIENCE: Duration = Duration::from_secs(5);

/// How a transaction begins that writes: it is durable whatever the role's settings say, and a machine that is gone
/// keeps its locks no longer than a connection may say nothing.
pub(super) const WRITING: &str = "BEGIN; SET LOCAL synchronous_commit TO on;
                                  SET LOCAL idle_in_transaction_session_timeout TO '10s'";

/// What a single statement that writes selects from, for the same.
pub(super) const DURABLE: &str = "(SELECT set_config('synchronous_commit', 'on', true)) AS durable";

/// A parameter of a statement and its type: statements have no name, so that they work behind PgBouncer.
pub(super) type Param<'a> = (&'a (dyn ToSql + Sync), Type);

/// Parameters of a statement: `params![key => INT8, owner => TEXT]`.
macro_rules! params {
    ($($value:expr => $type:ident),* $(,)?) => {
        &[$((&$value as &(dyn tokio_postgres::types::ToSql + Sync), tokio_postgres::types::Type::$type)),*]
    };
}
pub(super) use params;

/// Why a statement failed.
#[derive(Debug)]
pub(super) enum Failure {
    /// The connection broke, or the server does not answer: whether the statement was executed is unknown.
    Lost(String),
    /// The server refused the statement: nothing of it was executed.
    Refused(Error),
}

pub(super) type Answer<T> = std::result::Result<T, Failure>;

/// The code of a violated unique constraint.
pub(super) const UNIQUE_VIOLATION: &str = "23505";

/// Makes connections to one server.
pub(super) struct Server {
    pub(super) address: Address,
    pub(super) tls: MakeRustlsConnect,
}

impl Server {
    pub(super) fn new(address: Address) -> Result<Self> {
        let tls = super::tls::connector(address.verification, &address.tls_files)?;
        Ok(Self { address, tls })
    }

    pub(super) fn error(&self, message: impl Into<String>) -> Error {
        Error::Storage {
            path: self.address.shown.clone(),
            message: message.into(),
        }
    }
}

/// One connection, which is opened when it is first used, and again after it broke.
pub(super) struct Session {
    server: Arc<Server>,
    open: Mutex<Option<ManuallyDrop<Open>>>,
}

struct Open {
    runtime: Runtime,
    client: Client,
    /// A forked child must not write to its parent's connection.
    generation: u64,
}

impl Drop for Session {
    fn drop(&mut self) {
        self.open_slot().close();
    }
}

/// The connection of a session, while a thread uses it.
pub(super) struct Connected<'a> {
    server: &'a Server,
    slot: std::sync::MutexGuard<'a, Option<ManuallyDrop<Open>>>,
    until: Instant,
    is_in_transaction: bool,
}

impl Session {
    pub(super) fn new(server: Arc<Server>) -> Self {
        Self {
            server,
            open: Mutex::new(None),
        }
    }

    fn open_slot(&self) -> Connected<'_> {
        Connected {
            server: &self.server,
            slot: self.open.lock().unwrap_or_else(PoisonError::into_inner),
            until: Instant::now() + TIMEOUTS[TIMEOUTS.len() - 1],
            is_in_transaction: false,
        }
    }

    /// The connection for one piece of work, which must end within `time`.
    pub(super) fn within(&self, time: Duration) -> Connected<'_> {
        let mut connected = self.open_slot();
        connected.until = Instant::now() + time;
        connected
    }

    /// Does work that may be repeated, as often as the connection breaks, for a while.
    pub(super) fn repeat<T>(
        &self,
        mut work: impl FnMut(&mut Connected<'_>) -> Answer<T>,
    ) -> Result<T> {
        let mut patient_until = Instant::now() + PATIENCE;
        let mut times = TIMEOUTS.into_iter().peekable();
        while let Some(&time) = times.peek() {
            let began = Instant::now();
            match work(&mut self.within(time)) {
                Err(Failure::Lost(message)) => {
                    if began.elapsed() >= time {
                        times.next();
                        patient_until = Instant::now() + PATIENCE;
                    } else if Instant::now() >= patient_until {
                        return Err(self.server.error(message));
                    }
                    std::thread::sleep(PAUSE);
                }
                answer => return self.told(answer),
            }
        }
        Err(self.server.error(NO_ANSWER))
    }

    /// Does work once that takes as long as it takes.
    pub(super) fn patiently<T>(
        &self,
        work: impl FnOnce(&mut Connected<'_>) -> Answer<T>,
    ) -> Result<T> {
        self.told(work(&mut self.within(LONGEST)))
    }

    /// Does small work that is repeated anyway, by the thread that also renews leases: it hardly waits. A connection
    /// that broke or froze meanwhile is replaced once.
    pub(super) fn briefly<T>(
        &self,
        mut work: impl FnMut(&mut Connected<'_>) -> Answer<T>,
    ) -> Result<T> {
        let first = work(&mut self.within(BRIEF));
        self.told(match first {
            Err(Failure::Lost(_)) => work(&mut self.within(BRIEF)),
            outcome => outcome,
        })
    }

    /// Does work that must not be repeated.
    pub(super) fn once<T>(&self, work: impl FnOnce(&mut Connected<'_>) -> Answer<T>) -> Result<T> {
        self.told(work(&mut self.open_slot()))
    }

    pub(super) fn told<T>(&self, outcome: Answer<T>) -> Result<T> {
        outcome.map_err(|failure| match failure {
            Failure::Refused(error) => error,
            Failure::Lost(message) => self.server.error(message),
        })
    }
}

impl Connected<'_> {
    pub(super) fn server(&self) -> &Server {
        self.server
    }

    /// Executes one statement, in which `@` stands for the schema.
    pub(super) fn query(&mut self, sql: &str, params: &[Param<'_>]) -> Answer<Vec<Row>> {
        let sql = self.server.address.sql(sql);
        self.run(async |client| client.query_typed(&sql, params).await)
    }

    /// Executes one statement that writes and returns rows: it is durable whatever the role's settings say.
    pub(super) fn write(&mut self, sql: &str, params: &[Param<'_>]) -> Answer<Vec<Row>> {
        let sql = format!("WITH written AS ({sql}) SELECT written.* FROM written, {DURABLE}");
        self.query(&sql, params)
    }

    /// Executes one statement and returns its first row.
    pub(super) fn first(&mut self, sql: &str, params: &[Param<'_>]) -> Answer<Option<Row>> {
        Ok(self.query(sql, params)?.into_iter().next())
    }

    /// Executes statements without parameters.
    pub(super) fn batch(&mut self, sql: &str) -> Answer<()> {
        let sql = self.server.address.sql(sql);
        self.run(async |client| client.batch_execute(&sql).await)
    }

    pub(super) fn create_schema(&mut self) -> Answer<()> {
        let sql = format!("CREATE SCHEMA {}", self.server.address.quoted_schema());
        self.run(async |client| client.batch_execute(&sql).await)
    }

    /// Does work in a transaction, which begins with `begin`.
    pub(super) fn transaction<T>(
        &mut self,
        begin: &str,
        work: impl FnOnce(&mut Self) -> Answer<T>,
    ) -> Answer<T> {
        self.batch(begin)?;
        self.is_in_transaction = true;
        let outcome = work(self).and_then(|value| self.batch("COMMIT").map(|()| value));
        if outcome.is_err() && self.slot.is_some() && self.batch("ROLLBACK").is_err() {
            self.close();
        }
        self.is_in_transaction = false;
        outcome
    }

    fn run<T>(
        &mut self,
        work: impl AsyncFnOnce(&Client) -> std::result::Result<T, tokio_postgres::Error>,
    ) -> Answer<T> {
        let _operation = fork::operation();
        let left = self.until.saturating_duration_since(Instant::now());
        self.connect(left)?;
        let Some(open) = self.slot.as_ref() else {
            return Err(Failure::Lost("there is no connection".into()));
        };
        let outcome = open.within(left, work(&open.client));
        match outcome {
            Some(Ok(value)) => Ok(value),
            Some(Err(error)) => Err(self.failure(&error)),
            None => {
                self.close();
                Err(Failure::Lost(NO_ANSWER.into()))
            }
        }
    }

    fn connect(&mut self, left: Duration) -> Answer<()> {
        let is_own = |open: &ManuallyDrop<Open>| open.generation == fork::generation();
        // What a forked child inherited stays as it is: closing it would end the parent's connection.
        if self.slot.as_ref().is_some_and(|open| !is_own(open)) {
            *self.slot = None;
        }
        if self
            .slot
            .as_ref()
            .is_some_and(|open| open.client.is_closed())
        {
            self.close();
        }
        if self.slot.is_some() {
            return Ok(());
        }
        if self.is_in_transaction {
            // What is left of it must not be executed by itself.
            return Err(Failure::Lost("the connection broke".into()));
        }
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| Failure::Lost(error.to_string()))?;
        let connecting = self.server.address.config.connect(self.server.tls.clone());
        let connected = runtime.block_on(async { tokio::time::timeout(left, connecting).await });
        let (client, connection) = match connected {
            Ok(Ok(connected)) => connected,
            Ok(Err(error)) => return Err(self.failure(&error)),
            Err(_) => return Err(Failure::Lost(NO_ANSWER.into())),
        };
        runtime.spawn(async move { drop(connection.await) });
        *self.slot = Some(ManuallyDrop::new(Open {
            runtime,
            client,
            generation: fork::generation(),
        }));
        Ok(())
    }

    fn failure(&mut self, error: &tokio_postgres::Error) -> Failure {
        let text = || {
            let mut text = error.to_string();
            let mut source = std::error::Error::source(error);
            while let Some(cause) = source {
                text.push_str(&format!(": {cause}"));
                source = cause.source();
            }
            text
        };
        let Some(refusal) = error.as_db_error() else {
            self.close();
            return match super::tls::explanation(error) {
                Some(text) => Failure::Refused(self.server.error(text)),
                None => Failure::Lost(text()),
            };
        };
        // The server is starting, stopping or out of connections, is only read, ended the connection, or ended one of
        // two transactions that waited for each other.
        let code = refusal.code().code();
        let is_passing = ["08", "57", "53", "40"]
            .iter()
            .any(|class| code.starts_with(class));
        if is_passing || code == "25006" {
            self.close();
            return Failure::Lost(refusal.message().to_owned());
        }
        let advice = match code {
            "42501" => "; the role lacks a privilege that this needs",
            "3F000" | "42P01" => {
                "; it was not migrated: open it once for writing, or run `rivers db migrate`"
            }
            UNIQUE_VIOLATION => "; it is there already",
            _ => "",
        };
        Failure::Refused(self.server.error(format!("{}{advice}", refusal.message())))
    }

    pub(super) fn close(&mut self) {
        if let Some(open) = self.slot.take()
            && open.generation == fork::generation()
        {
            // A server that does not answer is not waited for.
            let Open {
                runtime, client, ..
            } = ManuallyDrop::into_inner(open);
            drop(client);
            runtime.shutdown_background();
        }
    }
}

impl Open {
    /// What the future returns; `None` if it takes longer.
    fn within<T>(&self, time: Duration, work: impl Future<Output = T>) -> Option<T> {
        let timed = async { tokio::time::timeout(time, work).await };
        self.runtime.block_on(timed).ok()
    }
}
