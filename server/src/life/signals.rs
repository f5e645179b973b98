//! SIGTERM and SIGINT. The first asks for an orderly stop, the second ends the process at once.
//! Handlers are installed explicitly because process 1 of a container has none by default.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

/// Tells when the process was asked to stop.
#[derive(Debug, Clone)]
pub struct Stop(watch::Receiver<bool>);

impl Stop {
    /// Installs the handlers; the second signal ends the process from in here.
    ///
    /// # Errors
    /// The system refused a handler.
    pub fn listen() -> io::Result<Self> {
        let terminate = signal(SignalKind::terminate())?;
        let interrupt = signal(SignalKind::interrupt())?;
        let (sender, receiver) = watch::channel(false);
        tokio::spawn(listen(terminate, interrupt, sender));
        Ok(Self(receiver))
    }

    /// Waits for the first signal.
    pub async fn asked(&mut self) {
        if self.0.wait_for(|asked| *asked).await.is_err() {
            // The listener ends with the process only; then this wait does not matter any more.
            std::future::pending::<()>().await;
        }
    }
}

async fn listen(mut terminate: Signal, mut interrupt: Signal, sender: watch::Sender<bool>) {
    let mut asked = false;
    loop {
        let (name, code) = tokio::select! {
            Some(()) = terminate.recv() => ("SIGTERM", 128 + 15),
            Some(()) = interrupt.recv() => ("SIGINT", 128 + 2),
            else => return,
        };
        if asked {
            tracing::warn!(signal = name, "second signal, leaving at once; the log keeps the rest");
            std::process::exit(code);
        }
        tracing::info!(signal = name, "asked to stop");
        asked = true;
        sender.send_replace(true);
    }
}
