//! Pictures → the tensor that a manifest describes.

use crate::manifest::{Channels, Input, Layout, Shape};
use crate::{RgbImage, Tensor};

/// Width and height in pixels of the tensor that a picture of this size fills; smaller pictures are padded with
/// black on the right and at the bottom.
pub fn canvas(input: &Input, width: u32, height: u32) -> (u32, u32) {
    match input.shape {
        Shape::Stretch | Shape::Letterbox => (input.width, input.height),
        Shape::Within { multiple } => {
            (width.next_multiple_of(multiple), height.next_multiple_of(multiple))
        }
    }
}

/// Packs pictures into one batch: `(pixel × scale − mean) ÷ std` for each channel, in the manifest's channel order
/// and layout. Pictures must already have the manifest's rendition and share one [`canvas`]; what lies outside it
/// is cut off.
pub fn pack(input: &Input, images: &[&RgbImage]) -> Tensor {
    let mut tensor = Tensor::default();
    pack_into(input, images, &mut tensor);
    tensor
}

/// [`pack`] into a tensor whose memory is used again, whatever it held.
pub(crate) fn pack_into(input: &Input, images: &[&RgbImage], tensor: &mut Tensor) {
    let (width, height) =
        images.first().map_or((0, 0), |image| canvas(input, image.width(), image.height()));
    let (w, h) = (width as usize, height as usize);
    tensor.data.resize(images.len() * 3 * w * h, 0.0);
    let planes = Planes::of(input);
    for (image, item) in images.iter().zip(tensor.data.chunks_exact_mut((3 * w * h).max(1))) {
        match input.layout {
            Layout::Nchw => planes.fill_planar(image, item, w, h),
            Layout::Nhwc => planes.fill_packed(image, item, w),
        }
    }
    tensor.shape = match input.layout {
        Layout::Nchw => vec![images.len(), 3, h, w],
        Layout::Nhwc => vec![images.len(), h, w, 3],
    };
}

/// For each channel of the tensor: which channel of the pixel, and value = pixel × gain + offset.
struct Planes {
    source: [usize; 3],
    gain: [f32; 3],
    offset: [f32; 3],
}

impl Planes {
    fn of(input: &Input) -> Self {
        let source = match input.channels {
            Channels::Rgb => [0, 1, 2],
            Channels::Bgr => [2, 1, 0],
        };
        Self {
            source,
            gain: input.std.map(|std| input.scale / std),
            offset: [0, 1, 2].map(|c| -input.mean[c] / input.std[c]),
        }
    }

    fn fill_planar(&self, image: &RgbImage, item: &mut [f32], w: usize, h: usize) {
        let stride = image.width() as usize * 3;
        for (channel, plane) in item.chunks_exact_mut(w * h).enumerate() {
            let (gain, offset) = (self.gain[channel], self.offset[channel]);
            let source = self.source[channel];
            if (image.width() as usize, image.height() as usize) != (w, h) {
                plane.fill(offset);
            }
            for (row, line) in image.data().chunks_exact(stride).zip(plane.chunks_exact_mut(w)) {
                for (pixel, value) in row.chunks_exact(3).zip(line) {
                    *value = f32::from(pixel[source]) * gain + offset;
                }
            }
        }
    }

    fn fill_packed(&self, image: &RgbImage, item: &mut [f32], w: usize) {
        for pixel in item.chunks_exact_mut(3) {
            pixel.copy_from_slice(&self.offset);
        }
        let stride = image.width() as usize * 3;
        for (row, line) in image.data().chunks_exact(stride).zip(item.chunks_exact_mut(w * 3)) {
            for (pixel, value) in row.chunks_exact(3).zip(line.chunks_exact_mut(3)) {
                for channel in 0..3 {
                    value[channel] = f32::from(pixel[self.source[channel]]) * self.gain[channel]
                        + self.offset[channel];
                }
            }
        }
    }
}
