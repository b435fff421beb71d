//! The service's end of the socket `control`.

use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};

use super::{App, life, reload};
use crate::control::{Answer, LINE_BYTES, Request, SOCKET, execute};
use crate::enrolment;

/// How long a request may take to arrive.
const PATIENCE: Duration = Duration::from_secs(10);

/// Makes the socket. The lock on the store says that no other service is there, so that an old one is a dead one's.
///
/// # Errors
/// What the file system says.
pub fn bind(data: &std::path::Path) -> anyhow::Result<UnixListener> {
    let path = data.join(SOCKET);
    let _ = std::fs::remove_file(&path);
    let listener = UnixListener::bind(&path)
        .with_context(|| format!("cannot make the socket {}", path.display()))?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Answers until the service is told to end.
pub async fn run(app: Arc<App>, listener: UnixListener) {
    let mut stop = app.stop.clone();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stop.wait_for(|stop| *stop) => return,
        };
        match accepted {
            // One after the other: a person types them.
            Ok((stream, _)) => {
                if let Err(error) = one(&app, stream).await {
                    tracing::warn!(%error, "a request over the control socket failed");
                }
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept on the control socket");
                tokio::time::sleep(PATIENCE / 100).await;
            }
        }
    }
}

async fn one(app: &Arc<App>, stream: UnixStream) -> anyhow::Result<()> {
    let (read, mut write) = stream.into_split();
    let mut line = String::new();
    let reading = async { BufReader::new(read.take(LINE_BYTES)).read_line(&mut line).await };
    tokio::time::timeout(PATIENCE, reading).await.context("the request did not arrive")??;
    let answer = match serde_json::from_str::<Request>(&line) {
        Err(error) => Answer::Refused(format!("this is no request: {error}")),
        Ok(Request::Reload) => reload::reload(app)
            .await
            .map_or_else(|error| Answer::Refused(format!("{error:#}")), Answer::Done),
        Ok(Request::Enroll { token, name }) => {
            blocking(app, move |app| {
                let told = enrolment::enrol(&app.store, &token, name.as_deref())?;
                reload::adopt(app, &domain::journal::Actor::Console)?;
                Ok(told)
            })
            .await
        }
        Ok(Request::ModelPromote { dir, wish }) => {
            blocking(app, move |app| life::promote(app, &dir, &wish)).await
        }
        Ok(Request::ModelRollback { dir, name, version }) => {
            blocking(app, move |app| life::rollback(app, &dir, &name, version.as_deref())).await
        }
        Ok(request) => {
            let store = app.store.clone();
            let is_pin = matches!(request, Request::PinSet { .. });
            let is_webhook = matches!(request, Request::WebhookEnable { .. });
            let ours = Arc::clone(app);
            let done = tokio::task::spawn_blocking(move || {
                let done = execute(&store, request)?;
                if is_webhook {
                    // Before whoever asked is answered.
                    ours.gone.read(&store)?;
                }
                Ok::<_, store::Error>(done)
            })
            .await?;
            if is_pin && done.is_ok() {
                // Who has the old PIN is out, and who was locked out may try the new one.
                app.desk.sessions.reset();
            }
            done.map_or_else(|error| Answer::Refused(error.to_string()), Answer::Done)
        }
    };
    write.write_all((serde_json::to_string(&answer)? + "\n").as_bytes()).await?;
    Ok(())
}

/// Does what takes its time away from the threads that serve.
async fn blocking(
    app: &Arc<App>,
    what: impl FnOnce(&App) -> anyhow::Result<serde_json::Value> + Send + 'static,
) -> Answer {
    let app = Arc::clone(app);
    let done = tokio::task::spawn_blocking(move || what(&app)).await;
    let done = done.unwrap_or_else(|error| Err(error.into()));
    done.map_or_else(|error| Answer::Refused(format!("{error:#}")), Answer::Done)
}
