//! A model that runs by a plan. Pictures are packed on the device: they travel as bytes, a quarter of the values' size.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::ffi::{Execution, Failure, Gpu, Pack, Picture, Plan};
use crate::manifest::{Channels, Input, Layout};
use crate::preprocess::{canvas, pack_into};
use crate::{Manifest, ModelError, RgbImage, Session, Tensor};

/// A model that runs by a plan.
pub(super) struct TensorRtSession {
    execution: Execution,
    model: String,
    outputs: usize,
    /// Told to the engine.
    lost: Arc<AtomicBool>,
}

impl TensorRtSession {
    pub(super) fn new(
        gpu: &Gpu,
        plan: &Arc<Plan>,
        manifest: &Manifest,
        lost: Arc<AtomicBool>,
    ) -> Result<Self, ModelError> {
        let execution = Execution::new(gpu, plan, &manifest.input.name, &manifest.output.names)
            .map_err(|detail| ModelError::Run { name: manifest.name.clone(), detail })?;
        Ok(Self {
            execution,
            model: manifest.name.clone(),
            outputs: manifest.output.names.len(),
            lost,
        })
    }

    fn outputs(&self) -> Result<Vec<Tensor>, ModelError> {
        let read = |index| self.execution.output(index).map(|(shape, data)| Tensor { shape, data });
        (0..self.outputs).map(read).collect::<Option<_>>().ok_or_else(|| ModelError::Run {
            name: self.model.clone(),
            detail: "an output cannot be read".into(),
        })
    }

    fn failed(&self, failure: Failure) -> ModelError {
        let name = self.model.clone();
        match failure {
            Failure::Refused(detail) => ModelError::Run { name, detail },
            Failure::Lost(detail) => {
                self.lost.store(true, Ordering::Relaxed);
                ModelError::Lost { name, detail }
            }
        }
    }
}

impl Session for TensorRtSession {
    fn run(&mut self, input: &Tensor) -> Result<Vec<Tensor>, ModelError> {
        let run = self.execution.run_values(&input.shape, &input.data);
        run.map_err(|failure| self.failed(failure))?;
        self.outputs()
    }

    fn look(
        &mut self,
        input: &Input,
        images: &[&RgbImage],
        scratch: &mut Tensor,
    ) -> Result<Vec<Tensor>, ModelError> {
        if !self.execution.packs() {
            pack_into(input, images, scratch);
            return self.run(scratch);
        }
        let (width, height) =
            images.first().map_or((0, 0), |image| canvas(input, image.width(), image.height()));
        let (w, h) = (width as usize, height as usize);
        let shape = match input.layout {
            Layout::Nchw => [images.len(), 3, h, w],
            Layout::Nhwc => [images.len(), h, w, 3],
        };
        let pictures: Vec<Picture<'_>> = images
            .iter()
            .map(|i| Picture { bytes: i.data(), width: i.width(), height: i.height() })
            .collect();
        let pack = pack(input, (width, height), self.execution.half());
        let run = self.execution.run_pictures(&shape, &pictures, &pack);
        run.map_err(|failure| self.failed(failure))?;
        self.outputs()
    }
}

/// What the manifest says, as the kernel reads it.
fn pack(input: &Input, (width, height): (u32, u32), half: bool) -> Pack {
    Pack {
        width,
        height,
        pixel_bytes: 3,
        packed: u32::from(input.layout == Layout::Nhwc),
        half: u32::from(half),
        source: match input.channels {
            Channels::Rgb => [0, 1, 2],
            Channels::Bgr => [2, 1, 0],
        },
        gain: input.std.map(|std| input.scale / std),
        offset: [0, 1, 2].map(|channel| -input.mean[channel] / input.std[channel]),
    }
}
