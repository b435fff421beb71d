//! One connected box: what it sends goes to the ingest without waiting, what it is told comes back in order.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use domain::journal::{BoxId, Code, Epoch, Lane, Seq};
use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesOrdered, FuturesUnordered};
use sync::Peer;
use sync::blob::UNKNOWN;
use sync::frame::{Down, Hello, Refusal, Up};
use sync::link::Path;
use sync::quic::{Asker, Fetching};
use tokio::sync::{Notify, mpsc, watch};

use crate::alarm::AlarmKind;
use crate::blob::Blobs;
use crate::directives::{Feed, Follower};
use crate::fleet::{Barred, State};
use crate::ingest::{Ingest, Pending};
use crate::{Error, fleet};

/// Batches of one connection and urgency that may wait for their commit; beyond them the hub stops reading more of these from it.
const MOST_PENDING: usize = 64;

/// For so long a gap at one place is told of once: what comes meanwhile was sent before the box heard of it.
const QUIET: Duration = Duration::from_secs(1);

/// Between attempts to greet a box while the database is away.
const PAUSE: Duration = Duration::from_millis(500);

/// So many connections of one box by one path within [`FLAP_TIME`] are two boxes with one name rather than a bad line.
const FLAPS: usize = 6;
const FLAP_TIME: Duration = Duration::from_secs(30);

/// Everything that sessions share.
#[derive(Debug)]
pub struct Sessions {
    ingest: Ingest,
    barred: watch::Receiver<Barred>,
    feed: Feed,
    blobs: Option<Blobs>,
    live: Mutex<HashMap<(BoxId, bool), Live>>,
}

/// The connection of a box by one path.
#[derive(Debug)]
struct Live {
    number: u64,
    replaced: Arc<Notify>,
    remote: String,
    /// When the last ones came.
    arrivals: VecDeque<Instant>,
    connected: bool,
    asker: Option<Asker>,
}

/// Whether a box can be asked.
#[derive(Clone, Debug)]
pub enum Reach {
    /// It is connected here over QUIC.
    Quic(Asker),
    /// It is connected here by the broker only.
    Mqtt,
    /// It is not connected here.
    Nowhere,
}

/// A connection as people see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connected {
    /// The box.
    pub of: BoxId,
    /// By which way.
    pub path: Path,
    /// From where.
    pub remote: String,
}

/// Takes the connection off the list, however its session ends.
struct Place<'a> {
    sessions: &'a Sessions,
    key: (BoxId, bool),
    number: u64,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if let Some(live) = self.sessions.live().get_mut(&self.key) {
            live.connected &= live.number != self.number;
            if !live.connected {
                live.asker = None;
            }
        }
    }
}

impl Sessions {
    /// Sessions over an ingest; `barred` as [`fleet::watch`] keeps it, `feed` as [`Feed::run`] does.
    pub fn new(ingest: Ingest, barred: watch::Receiver<Barred>, feed: Feed) -> Self {
        Self { ingest, barred, feed, blobs: None, live: Mutex::default() }
    }

    /// Boxes may fetch, too.
    pub fn serving(self, blobs: Blobs) -> Self {
        Self { blobs: Some(blobs), ..self }
    }

    /// What boxes fetch, where they may.
    pub fn blobs(&self) -> Option<&Blobs> {
        self.blobs.as_ref()
    }

    /// What they bring to.
    pub fn ingest(&self) -> &Ingest {
        &self.ingest
    }

    /// Who is connected to this node.
    pub fn connected(&self) -> Vec<Connected> {
        let path = |quic| if quic { Path::Quic } else { Path::Mqtt };
        let live = self.live();
        let connected = live.iter().filter(|(_, live)| live.connected);
        let connected = connected.map(|(key, live)| Connected {
            of: key.0,
            path: path(key.1),
            remote: live.remote.clone(),
        });
        connected.collect()
    }

    /// How a box can be asked from this node; one that may no more is not.
    pub fn reach(&self, of: BoxId) -> Reach {
        if self.barred.borrow().contains_key(&of) {
            return Reach::Nowhere;
        }
        let live = self.live();
        let by = |quic| live.get(&(of, quic)).filter(|live| live.connected);
        match by(true).and_then(|live| live.asker.clone()) {
            Some(asker) => Reach::Quic(asker),
            None if by(false).is_some() => Reach::Mqtt,
            None => Reach::Nowhere,
        }
    }

    fn live(&self) -> MutexGuard<'_, HashMap<(BoxId, bool), Live>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Serves a box until it goes, is replaced by a newer connection of its own, or may no more.
    pub async fn serve(&self, peer: Peer) {
        let (of, path, remote) = (peer.of, peer.path, peer.remote.clone());
        tracing::info!(box = %of, ?path, remote, "connected");
        match self.serve_until(peer).await {
            Ok(end) => tracing::info!(box = %of, ?path, remote, end, "disconnected"),
            Err(error) => tracing::warn!(box = %of, ?path, remote, %error, "disconnected"),
        }
    }

    async fn serve_until(&self, peer: Peer) -> Result<&'static str, Error> {
        let (of, down) = (peer.of, peer.down.clone());
        let (place, replaced, flapping) = self.arrive(&peer);
        tokio::select! {
            biased;
            () = replaced.notified() => return Ok("replaced by a newer connection"),
            () = down.closed() => return Ok("the box went"),
            // The list of the barred may lie behind: the database itself is asked once, before anything is taken.
            word = self.refusal(of) => if let Some(word) = word {
                // It may have gone already.
                let _ = down.send(Down::Refused(Code::lossy(word))).await;
                return Ok("refused");
            },
        }
        if flapping {
            let path = Code::lossy(if place.key.1 { "quic" } else { "mqtt" });
            raise(&self.ingest, of, AlarmKind::Flapping, &path).await;
        }
        tokio::select! {
            biased;
            () = replaced.notified() => Ok("replaced by a newer connection"),
            word = self.barred(of) => {
                let _ = down.send(Down::Refused(Code::lossy(word))).await;
                Ok("refused")
            }
            end = Session::new(self, peer).run() => end.map(|()| "the box went"),
        }
    }

    /// Waits until a box may no more.
    async fn barred(&self, of: BoxId) -> &'static str {
        let mut barred = self.barred.clone();
        loop {
            if let Some(state) = barred.borrow_and_update().get(&of) {
                return state.as_str();
            }
            if barred.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// Why a box may not; waits for the database where it is away.
    async fn refusal(&self, of: BoxId) -> Option<&'static str> {
        loop {
            let state = async { fleet::state(&*self.ingest.pool().take().await?, of).await };
            match state.await {
                Ok(Some(State::Enrolled)) => return None,
                Ok(Some(state)) => return Some(state.as_str()),
                Ok(None) => return Some("unknown"),
                Err(_) => tokio::time::sleep(PAUSE).await,
            }
        }
    }

    fn arrive(&self, peer: &Peer) -> (Place<'_>, Arc<Notify>, bool) {
        let key = (peer.of, peer.path == Path::Quic);
        let replaced = Arc::new(Notify::new());
        let mut live = self.live();
        let entry = live.entry(key).or_insert_with(|| Live {
            number: 0,
            replaced: Arc::clone(&replaced),
            remote: String::new(),
            arrivals: VecDeque::new(),
            connected: false,
            asker: None,
        });
        if entry.connected {
            // Kept for whoever waits only later.
            entry.replaced.notify_one();
            entry.arrivals.push_back(Instant::now());
        }
        entry.arrivals.retain(|arrival| arrival.elapsed() < FLAP_TIME);
        let flapping = entry.arrivals.len() >= FLAPS;
        if flapping {
            entry.arrivals.clear();
        }
        entry.number += 1;
        entry.replaced = Arc::clone(&replaced);
        entry.remote = peer.remote.clone();
        entry.connected = true;
        entry.asker = peer.asker.clone();
        let number = entry.number;
        drop(live);
        (Place { sessions: self, key, number }, replaced, flapping)
    }
}

type Handing<'a> = BoxFuture<'a, Result<Pending, Error>>;
type Answers = FuturesOrdered<BoxFuture<'static, Result<Down, Error>>>;

struct Session<'a> {
    ingest: &'a Ingest,
    peer: Peer,
    /// What is still to be committed, one list for each urgency: no critical answer waits for one about bulk.
    urgent: Answers,
    normal: Answers,
    /// The bulk batch that waits for a place in the ingest's queue. Whatever else comes does not wait behind it.
    handing: Option<Handing<'a>>,
    /// Where a gap was last told of.
    gaps: HashMap<(Epoch, Lane), (Seq, Instant)>,
    follower: Follower,
    /// Fetches that are being served, with this.
    serving: FuturesUnordered<BoxFuture<'static, ()>>,
    fetches: Option<mpsc::Receiver<Fetching>>,
    blobs: Option<Blobs>,
}

impl<'a> Session<'a> {
    fn new(sessions: &'a Sessions, mut peer: Peer) -> Self {
        let Sessions { ingest, feed, blobs, .. } = sessions;
        let (fetches, blobs) = (peer.fetches.take(), blobs.clone());
        let (urgent, normal) = (Answers::new(), Answers::new());
        let follower = Follower::new(peer.of, Arc::clone(ingest.pool()), feed.clone());
        Self {
            ingest,
            peer,
            urgent,
            normal,
            handing: None,
            gaps: HashMap::new(),
            follower,
            serving: FuturesUnordered::new(),
            fetches,
            blobs,
        }
    }

    async fn run(mut self) -> Result<(), Error> {
        // Whether more may come.
        let (mut first, mut bulk) = (true, true);
        while first || bulk || self.handing.is_some() {
            let room = self.urgent.len() < MOST_PENDING;
            let bulk_room = self.normal.len() < MOST_PENDING && self.handing.is_none();
            tokio::select! {
                biased;
                Some(answer) = self.urgent.next() => {
                    if !self.tell(answer?).await {
                        return Ok(());
                    }
                }
                up = self.peer.up.first.recv(), if first && room => match up {
                    Some(up) => self.hear(up).await?,
                    None => first = false,
                },
                Some(answer) = self.normal.next() => {
                    if !self.tell(answer?).await {
                        return Ok(());
                    }
                }
                handed = handed(&mut self.handing) => {
                    self.handing = None;
                    self.handed(Lane::Bulk, handed).await?;
                }
                directives = self.follower.next() => for directive in directives {
                    if !self.tell(Down::Directive(directive)).await {
                        return Ok(());
                    }
                },
                Some(()) = self.serving.next() => {}
                Some(fetching) = next(self.fetches.as_mut()) => self.serve(fetching),
                up = self.peer.up.bulk.recv(), if bulk && bulk_room => match up {
                    Some(Up::Batch(bytes)) => {
                        let (ingest, of) = (self.ingest, self.peer.of);
                        self.handing = Some(Box::pin(async move { ingest.batch(of, &bytes).await }));
                    }
                    Some(up) => self.hear(up).await?,
                    None => bulk = false,
                },
            }
        }
        // The box has gone, but what it sent is being committed all the same.
        while let Some(answer) = self.urgent.next().await {
            answer?;
        }
        while let Some(answer) = self.normal.next().await {
            answer?;
        }
        Ok(())
    }

    async fn hear(&mut self, up: Up) -> Result<(), Error> {
        let of = self.peer.of;
        match up {
            Up::Hello(hello) => self.greet(&hello).await,
            Up::Batch(bytes) => {
                let handed = self.ingest.batch(of, &bytes).await;
                self.handed(Lane::Critical, handed).await?;
            }
            Up::Checkpoint(signed) => match self.ingest.checkpoint(of, &signed).await {
                Ok(receipts) => {
                    for receipt in receipts {
                        let _ = self.peer.down.send(Down::Receipt(receipt)).await;
                    }
                }
                // It comes again, or a newer one that says more.
                Err(error) => tracing::warn!(box = %of, %error, "a checkpoint was not kept"),
            },
            Up::Hole(hole) => match self.ingest.hole(of, hole).await {
                Ok(pending) => self.wait(hole.from.head.lane, pending),
                Err(Error::Invalid(_)) => {
                    raise(self.ingest, of, AlarmKind::Tampered, &Code::lossy("hole")).await;
                }
                Err(error) => return Err(error),
            },
            Up::Follow(follow) => self.follower.follow(&follow),
        }
        Ok(())
    }

    /// What became of a batch in the ingest's queue.
    async fn handed(&mut self, lane: Lane, handed: Result<Pending, Error>) -> Result<(), Error> {
        match handed {
            Ok(pending) => self.wait(lane, pending),
            Err(Error::Invalid(_)) => {
                let code = Code::lossy("no_batch");
                raise(self.ingest, self.peer.of, AlarmKind::Tampered, &code).await;
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn serve(&mut self, fetching: Fetching) {
        let serving: BoxFuture<'static, ()> = match self.blobs.clone() {
            Some(blobs) => Box::pin(blobs.serve(fetching)),
            None => Box::pin(fetching.refuse(Code::lossy(UNKNOWN))),
        };
        self.serving.push(serving);
    }

    fn wait(&mut self, lane: Lane, pending: Pending) {
        let answers = match lane {
            Lane::Critical => &mut self.urgent,
            Lane::Bulk => &mut self.normal,
        };
        answers.push_back(Box::pin(pending.answer()));
    }

    async fn greet(&mut self, hello: &Hello) {
        let of = self.peer.of;
        self.gaps.clear();
        loop {
            match self.ingest.hello(of, hello).await {
                Ok(welcome) => {
                    let _ = self.peer.down.send(Down::Welcome(welcome)).await;
                    return;
                }
                Err(error) => tracing::warn!(box = %of, %error, "cannot greet yet"),
            }
            if self.peer.down.is_closed() {
                return;
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Whether the box is still there to be told.
    async fn tell(&mut self, answer: Down) -> bool {
        if let Down::Nak(nak) = &answer
            && nak.why == Refusal::Gap
        {
            let (flow, seq) = (nak.cursor.flow(), nak.cursor.head.seq);
            let told = self.gaps.get(&flow);
            if told.is_some_and(|(at, when)| *at == seq && when.elapsed() < QUIET) {
                return true;
            }
            self.gaps.insert(flow, (seq, Instant::now()));
        }
        self.peer.down.send(answer).await.is_ok()
    }
}

/// Waits for what is being handed in; for ever where nothing is.
async fn handed(handing: &mut Option<Handing<'_>>) -> Result<Pending, Error> {
    match handing {
        Some(handing) => handing.await,
        None => std::future::pending().await,
    }
}

async fn next(fetches: Option<&mut mpsc::Receiver<Fetching>>) -> Option<Fetching> {
    match fetches {
        Some(fetches) => fetches.recv().await,
        None => None,
    }
}

/// An alarm about what a box said; one that cannot be kept is in the log.
async fn raise(ingest: &Ingest, of: BoxId, kind: AlarmKind, code: &Code) {
    if let Err(error) = ingest.alarm(of, kind, code).await {
        tracing::warn!(box = %of, %error, kind = kind.as_str(), "an alarm was not kept");
    }
}
