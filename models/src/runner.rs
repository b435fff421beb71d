//! A loaded model that any thread may ask.

use std::path::Path;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};

use crate::batcher::{Job, Worker};
use crate::{Engine, Manifest, ModelError, Output, Rendition, RgbImage, Tensor, resample};

/// How a model is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunnerConfig {
    /// Runner threads, each with a session (and a copy of the weights) of its own.
    pub runners: usize,
    /// Threads that one run may use.
    pub intra_threads: usize,
    /// Most pictures of one batch; a model with a fixed batch lowers it, and so does an engine that gains nothing by it.
    pub max_batch: usize,
    /// Pictures that may wait; `submit` blocks beyond.
    pub queue: usize,
    /// How far runner threads give way to other threads (nice value); 0 not at all.
    pub nice: u8,
}

impl Default for RunnerConfig {
    /// One runner of one thread, batches up to 8, 16 waiting.
    fn default() -> Self {
        Self { runners: 1, intra_threads: 1, max_batch: 8, queue: 16, nice: 0 }
    }
}

/// A loaded model with its queue and threads. Dropping it answers what is queued, then joins the threads.
pub struct Runner {
    manifest: Arc<Manifest>,
    jobs: Option<Sender<Job>>,
    threads: Vec<JoinHandle<()>>,
}

impl Runner {
    /// Loads the weights and starts the threads.
    ///
    /// # Errors
    /// What [`Engine::load`] says; [`ModelError::File`] when a thread cannot be started.
    pub fn load(
        engine: &dyn Engine,
        manifest: &Manifest,
        weights: &Path,
        config: RunnerConfig,
    ) -> Result<Self, ModelError> {
        let manifest = Arc::new(manifest.clone());
        let (sender, jobs) = bounded(config.queue.max(1));
        let most = manifest.input.max_batch.unwrap_or(usize::MAX).min(engine.best_batch(&manifest));
        let max_batch = config.max_batch.clamp(1, most.max(1));
        let mut runner =
            Self { manifest: Arc::clone(&manifest), jobs: Some(sender), threads: Vec::new() };
        let runners = config.runners.max(1);
        for _ in 0..runners {
            let worker = Worker {
                manifest: Arc::clone(&manifest),
                session: engine.load(&manifest, weights, config.intra_threads)?,
                input: Tensor::default(),
                jobs: jobs.clone(),
                max_batch,
                runners,
            };
            let thread = thread::Builder::new()
                .name(format!("model-{}", manifest.name))
                .spawn(move || {
                    // On Linux it holds for the calling thread alone. Where it is refused, the thread is merely less polite.
                    let _ = rustix::process::nice(i32::from(config.nice));
                    worker.serve();
                })
                .map_err(|error| ModelError::file("cannot start a thread for", weights, &error))?;
            runner.threads.push(thread);
        }
        Ok(runner)
    }

    /// What is loaded.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The size in which pictures are best submitted; others are resampled here, on the caller's thread.
    pub fn rendition(&self) -> Rendition {
        self.manifest.input.rendition()
    }

    /// Pictures that wait.
    pub fn queued(&self) -> usize {
        self.jobs.as_ref().map_or(0, Sender::len)
    }

    /// Queues a picture; blocks while the queue is full.
    pub fn submit(&self, image: impl Into<Arc<RgbImage>>) -> Ticket {
        let (job, ticket) = self.job(image.into());
        if let Some(jobs) = &self.jobs {
            // A closed queue drops the reply, which the ticket reports.
            let _ = jobs.send(job);
        }
        ticket
    }

    /// Queues a picture unless the queue is full.
    pub fn try_submit(&self, image: impl Into<Arc<RgbImage>>) -> Option<Ticket> {
        let jobs = self.jobs.as_ref().filter(|jobs| !jobs.is_full())?;
        let (job, ticket) = self.job(image.into());
        jobs.try_send(job).ok().map(|()| ticket)
    }

    fn job(&self, image: Arc<RgbImage>) -> (Job, Ticket) {
        let (width, height) = (image.width(), image.height());
        let rendition = self.rendition();
        let image = if rendition.size(width, height) == (width, height) {
            image
        } else {
            Arc::new(resample(&image, rendition))
        };
        let scale = (width as f32 / image.width() as f32, height as f32 / image.height() as f32);
        // The channel holds the one answer, so that a runner never waits for a caller.
        let (reply, answer) = bounded(1);
        (Job { image, reply }, Ticket { answer, scale, model: Arc::clone(&self.manifest) })
    }
}

impl Drop for Runner {
    fn drop(&mut self) {
        self.jobs = None;
        for thread in self.threads.drain(..) {
            // A runner thread catches panics; one that died anyway has dropped its replies.
            let _ = thread.join();
        }
    }
}

/// The claim on one answer.
#[must_use = "the answer is lost with the ticket"]
pub struct Ticket {
    answer: Receiver<Result<Output, ModelError>>,
    scale: (f32, f32),
    model: Arc<Manifest>,
}

impl Ticket {
    /// Whether the answer is there, so that `wait` will not wait.
    pub fn is_ready(&self) -> bool {
        !self.answer.is_empty()
    }

    /// Waits for the answer. Boxes are in pixels of the picture that was submitted.
    ///
    /// # Errors
    /// [`ModelError::Run`] and [`ModelError::Shape`] when the model failed, [`ModelError::Stopped`] when its runner
    /// ended first.
    pub fn wait(self) -> Result<Output, ModelError> {
        let answer = self.answer.recv().unwrap_or_else(|_| Err(self.stopped()));
        self.scaled(answer)
    }

    /// Waits for the answer so long at most; `None` where it has not come.
    pub fn wait_for(self, time: Duration) -> Option<Result<Output, ModelError>> {
        let answer = match self.answer.recv_timeout(time) {
            Ok(answer) => answer,
            Err(RecvTimeoutError::Timeout) => return None,
            Err(RecvTimeoutError::Disconnected) => Err(self.stopped()),
        };
        Some(self.scaled(answer))
    }

    fn stopped(&self) -> ModelError {
        ModelError::Stopped { name: self.model.name.clone() }
    }

    /// The boxes of an answer in pixels of the picture that was submitted.
    fn scaled(self, answer: Result<Output, ModelError>) -> Result<Output, ModelError> {
        let mut output = answer?;
        if let Output::Faces(faces) = &mut output {
            for face in faces {
                face.bbox.x *= self.scale.0;
                face.bbox.w *= self.scale.0;
                face.bbox.y *= self.scale.1;
                face.bbox.h *= self.scale.1;
            }
        }
        Ok(output)
    }
}
