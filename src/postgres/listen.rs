//! Hearing of what others write: `LISTEN` on a connection of its own, and its loss told as news too.

use super::connect::{Tls, Way};
use super::jittered;
use futures_util::{StreamExt, future, stream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::watch;
use tokio_postgres::tls::{MakeTlsConnect, NoTls};
use tokio_postgres::{AsyncMessage, Socket};

/// Counts what was heard.
pub(super) struct News {
    heard: watch::Receiver<u64>,
    seen: AtomicU64,
}

/// The channel on which writers of `schema` tell that they have written.
pub(super) fn channel(schema: &str) -> String {
    format!("{schema}_ml_events")
}

impl News {
    /// Begins to listen, on the runtime that it is called on.
    pub(super) fn start(way: Way, schema: &str) -> Self {
        let (tell, heard) = watch::channel(1);
        let command = format!("LISTEN {}", channel(schema));
        tokio::spawn(async move {
            let mut pause = Duration::from_millis(50);
            while !tell.is_closed() {
                let listened = match &way.tls {
                    Tls::Off => listen(&way, NoTls, &command, &tell).await,
                    #[cfg(feature = "postgres-tls")]
                    Tls::On(tls) => listen(&way, tls.clone(), &command, &tell).await,
                };
                pause = if listened {
                    Duration::from_millis(50)
                } else {
                    (pause * 2).min(Duration::from_secs(5))
                };
                tokio::time::sleep(jittered(pause)).await;
            }
        });
        Self { heard, seen: AtomicU64::new(0) }
    }

    /// Waits for something not yet told, but no longer than `within`.
    pub(super) async fn wait(&self, within: Duration) {
        let mut heard = self.heard.clone();
        let seen = self.seen.load(Ordering::Relaxed);
        if let Ok(Ok(now)) = tokio::time::timeout(within, heard.wait_for(|now| *now != seen)).await {
            self.seen.store(*now, Ordering::Relaxed);
        }
    }
}

/// Listens until the connection is lost; whether there was one.
async fn listen<T>(way: &Way, tls: T, command: &str, tell: &watch::Sender<u64>) -> bool
where
    T: MakeTlsConnect<Socket>,
    T::Stream: Send + 'static,
{
    let Ok((client, mut connection)) = way.config.connect(tls).await else { return false };
    let mut messages = stream::poll_fn(move |context| connection.poll_message(context));
    let hear = async {
        while let Some(Ok(message)) = messages.next().await {
            if matches!(message, AsyncMessage::Notification(_)) {
                tell.send_modify(|count| *count += 1);
            }
        }
    };
    let begin = async {
        let begun = client.batch_execute(command).await;
        // What came while nobody listened.
        tell.send_modify(|count| *count += 1);
        match begun {
            // Keeps the connection open, for as long as anybody waits for news.
            Ok(()) => tell.closed().await,
            Err(error) => {
                tracing::warn!(error = %format_args!("{error:#}"), "PostgreSQL: cannot listen, polling instead");
            }
        }
    };
    future::select(Box::pin(hear), Box::pin(begin)).await;
    true
}
