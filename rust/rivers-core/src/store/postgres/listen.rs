//! A connection on which the server says that a control request came in.
//!
//! It is a hint: the owner polls anyway, since notifications may be lost (behind PgBouncer in transaction mode, or
//! while the connection is made anew).

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::runtime::Builder;
use tokio_postgres::AsyncMessage;

use super::digest::digest;
use super::session::{DURABLE, Server};
use crate::store::fork;

/// Pause before the connection is made anew.
const PAUSE: Duration = Duration::from_secs(1);

/// What the listening thread calls.
pub(super) type Wake = Box<dyn Fn() + Send>;

/// Listens until it is dropped.
pub(super) struct Listener {
    stop: Arc<Stop>,
    thread: Option<JoinHandle<()>>,
    /// A forked child has no thread to wait for.
    generation: u64,
}

#[derive(Default)]
struct Stop {
    is_set: AtomicBool,
    waker: Mutex<Option<Waker>>,
}

impl Stop {
    /// Whether the thread should end; it is woken when that changes.
    fn poll(&self, context: &mut Context<'_>) -> bool {
        *self.waker.lock().unwrap_or_else(PoisonError::into_inner) = Some(context.waker().clone());
        self.is_set.load(Ordering::Acquire)
    }

    /// What the future returns; `None` once the thread should end.
    async fn before<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        let mut work = pin!(work);
        poll_fn(|context| match self.poll(context) {
            true => Poll::Ready(None),
            false => work.as_mut().poll(context).map(Some),
        })
        .await
    }
}

impl Listener {
    /// Calls `wake` when the server notifies the owner, and when notifications may have been missed. `None` if
    /// there is no thread for it.
    pub(super) fn new(server: Arc<Server>, owner: String, wake: Wake) -> Option<Self> {
        let stop = Arc::new(Stop::default());
        let own = Arc::clone(&stop);
        let run = move || {
            let Ok(runtime) = Builder::new_current_thread().enable_all().build() else {
                return;
            };
            runtime.block_on(async {
                while own.before(listen(&server, &owner, &wake)).await.is_some() {
                    if own.before(tokio::time::sleep(PAUSE)).await.is_none() {
                        break;
                    }
                }
            });
            // A server that does not answer is not waited for.
            runtime.shutdown_background();
        };
        let named = std::thread::Builder::new().name("rivers-listener".into());
        Some(Self {
            thread: Some(named.spawn(run).ok()?),
            stop,
            generation: fork::generation(),
        })
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let thread = self.thread.take();
        if self.generation != fork::generation() {
            std::mem::forget(thread);
            return;
        }
        self.stop.is_set.store(true, Ordering::Release);
        let waker = self.stop.waker.lock();
        if let Some(waker) = waker.unwrap_or_else(PoisonError::into_inner).take() {
            waker.wake();
        }
        // The thread may have been the last to hold what is dropped.
        if let Some(thread) = thread.filter(|own| own.thread().id() != std::thread::current().id())
        {
            let _ = thread.join();
        }
    }
}

/// Listens until the connection breaks.
async fn listen(server: &Server, owner: &str, wake: &Wake) {
    let Ok((client, mut connection)) = server.address.config.connect(server.tls.clone()).await
    else {
        return;
    };
    let sql = format!("LISTEN \"{}\"", channel(&server.address.schema));
    let mut listening = pin!(client.batch_execute(&sql));
    let mut is_listening = false;
    poll_fn(|context| {
        loop {
            match connection.poll_message(context) {
                Poll::Ready(Some(Ok(AsyncMessage::Notification(own)))) => {
                    if own.payload() == owner {
                        wake();
                    }
                }
                Poll::Ready(Some(Ok(_))) => {}
                Poll::Ready(Some(Err(_)) | None) => return Poll::Ready(()),
                Poll::Pending => break,
            }
        }
        if !is_listening && let Poll::Ready(answer) = listening.as_mut().poll(context) {
            if answer.is_err() {
                return Poll::Ready(());
            }
            is_listening = true;
            // What was asked before is not notified.
            wake();
        }
        Poll::Pending
    })
    .await;
}

/// The channel of a schema: its name may be as long as an identifier can be.
pub(super) fn channel(schema: &str) -> String {
    format!("rivers_{:016x}", digest(&[schema.as_bytes()]))
}

/// The update of a backfill, after which its owner is notified on the channel `$3`. It returns a row if it changed one.
pub(super) fn notifying(update: &str) -> String {
    format!(
        "WITH changed AS ({update} RETURNING owner) SELECT pg_notify($3, coalesce(owner, ''))
         FROM changed, {DURABLE}"
    )
}
