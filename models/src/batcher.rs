//! Many callers, one model: a bounded queue whose runners take what waits, up to a full batch, and never wait for more.
//!
//! A lone picture runs at once; under load, pictures of different files and frames share a batch. When the queue is
//! full, `submit` blocks its caller.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender};

use crate::output::{Extent, decode};
use crate::preprocess::canvas;
use crate::{Manifest, ModelError, Output, RgbImage, Session, Tensor};

/// A picture that waits for its answer. Pictures have the manifest's rendition.
pub(crate) struct Job {
    pub(crate) image: Arc<RgbImage>,
    pub(crate) reply: Sender<Result<Output, ModelError>>,
}

/// What one runner thread needs.
pub(crate) struct Worker {
    pub(crate) manifest: Arc<Manifest>,
    pub(crate) session: Box<dyn Session>,
    /// What the session was last given: fresh memory for every run would cost more than filling it.
    pub(crate) input: Tensor,
    pub(crate) jobs: Receiver<Job>,
    pub(crate) max_batch: usize,
    pub(crate) runners: usize,
}

impl Worker {
    /// Serves jobs until the queue is closed and empty.
    pub(crate) fn serve(mut self) {
        while let Ok(first) = self.jobs.recv() {
            let mut batch = vec![first];
            // Leave the other runners their share of what waits.
            let share = self.jobs.len().div_ceil(self.runners.max(1));
            let room = self.max_batch.saturating_sub(1).min(share);
            batch.extend(self.jobs.try_iter().take(room));
            for group in by_canvas(&self.manifest, batch) {
                self.answer(group);
            }
        }
    }

    /// Runs one batch; every job gets an answer, whatever happens.
    fn answer(&mut self, group: Vec<Job>) {
        let (images, replies): (Vec<_>, Vec<_>) =
            group.into_iter().map(|job| (job.image, job.reply)).unzip();
        let outcome =
            catch_unwind(AssertUnwindSafe(|| self.run(&images))).unwrap_or_else(|panic| {
                let detail = panic
                    .downcast_ref::<String>()
                    .map(String::as_str)
                    .or_else(|| panic.downcast_ref::<&str>().copied())
                    .unwrap_or("no message");
                let detail = format!("the runner panicked: {detail}");
                Err(ModelError::Run { name: self.manifest.name.clone(), detail })
            });
        match outcome {
            Ok(outputs) => {
                for (reply, output) in replies.iter().zip(outputs) {
                    // A caller that no longer waits is no error.
                    let _ = reply.send(output);
                }
            }
            Err(error) => {
                for reply in &replies {
                    let _ = reply.send(Err(error.clone()));
                }
            }
        }
    }

    /// Runs pictures that share one canvas as one batch; one answer each, in order.
    fn run(
        &mut self,
        images: &[Arc<RgbImage>],
    ) -> Result<Vec<Result<Output, ModelError>>, ModelError> {
        let manifest = &*self.manifest;
        let views: Vec<&RgbImage> = images.iter().map(|image| &**image).collect();
        let tensors = self.session.look(&manifest.input, &views, &mut self.input)?;
        Ok(views
            .iter()
            .enumerate()
            .map(|(index, image)| {
                let picture = (image.width(), image.height());
                let canvas = canvas(&manifest.input, picture.0, picture.1);
                decode(manifest, &tensors, index, Extent { picture, canvas })
            })
            .collect())
    }
}

/// Only pictures that fill tensors of one size can share a batch.
fn by_canvas(manifest: &Manifest, batch: Vec<Job>) -> Vec<Vec<Job>> {
    let mut groups: BTreeMap<(u32, u32), Vec<Job>> = BTreeMap::new();
    for job in batch {
        let size = canvas(&manifest.input, job.image.width(), job.image.height());
        groups.entry(size).or_default().push(job);
    }
    groups.into_values().collect()
}
