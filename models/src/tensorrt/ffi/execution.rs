//! What one thread runs a plan with: contexts, a stream, buffers for the largest batch, and graphs of the batches that come
//! often.

use std::sync::Arc;
use std::time::Duration;

use half::f16;

use super::shim::Context;
use super::{Gpu, Graph, Kind, Lane, Pack, Plan, Role, Room, TensorInfo};

/// How long a run may take. A device that does not answer in that time does not answer at all.
const LIMIT: Duration = Duration::from_secs(10);

/// Batches of one shape before it gets a graph of its own: rare shapes are not worth a context's memory.
const OFTEN: u32 = 16;

/// Graphs of one session at most.
const GRAPHS: usize = 4;

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// This run cannot be done; another may.
    Refused(String),
    /// The device does not answer any more, and will not until the process starts anew.
    Lost(String),
}

/// A picture: packed pixels, row by row.
#[derive(Clone, Copy, Debug)]
pub struct Picture<'a> {
    /// `width × height × pixel_bytes` bytes.
    pub bytes: &'a [u8],
    /// In pixels.
    pub width: u32,
    /// In pixels.
    pub height: u32,
}

/// A context and, once its shape has come often, the graph of its run.
struct Slot {
    context: Context,
    graph: Option<Graph>,
}

/// What one thread runs a plan with.
pub struct Execution {
    main: Option<Slot>,
    /// Contexts of one shape each.
    fixed: Vec<(Vec<i64>, Slot)>,
    /// How often each shape came.
    seen: Vec<(Vec<i64>, u32)>,
    /// Whether graphs are still worth a try.
    graphs: bool,
    lane: Option<Lane>,
    plan: Arc<Plan>,
    input: TensorInfo,
    kind: Kind,
    outputs: Vec<(TensorInfo, Kind)>,
    /// Sides of each output in the last run.
    shapes: Vec<Vec<i64>>,
    room: Room,
    packs: bool,
}

impl Execution {
    /// Prepares to run `plan` with the input and the outputs of these names.
    ///
    /// # Errors
    /// What the plan lacks, or what the device says.
    pub fn new(
        gpu: &Gpu,
        plan: &Arc<Plan>,
        input: &str,
        outputs: &[String],
    ) -> Result<Self, String> {
        let tensors = plan.tensors();
        let find = |name: &str, role: Role| {
            let found =
                tensors.iter().find(|t| t.name.to_bytes() == name.as_bytes() && t.role == role);
            let info = found.ok_or_else(|| format!("the plan has no {role:?} `{name}`"))?;
            let kind = info
                .kind
                .ok_or_else(|| format!("`{name}` holds neither 32-bit nor 16-bit floats"))?;
            Ok::<_, String>((info.clone(), kind))
        };
        let (input, kind) = find(input, Role::Input)?;
        let outputs: Vec<_> =
            outputs.iter().map(|name| find(name, Role::Output)).collect::<Result<_, _>>()?;
        let wanted = 1 + outputs.len();
        if tensors.len() > wanted {
            // TensorRT writes every output: one without an address would stop the run.
            let names: Vec<_> = tensors.iter().map(|t| t.name.to_string_lossy()).collect();
            return Err(format!(
                "the plan has {} tensors and the manifest names {wanted}: {}",
                tensors.len(),
                names.join(", ")
            ));
        }
        let largest = input.range.as_ref().map_or(&input.shape, |(_, most)| most).clone();
        let mut context = Context::new(plan)?;
        context.set_shape(&input.name, &largest)?;
        let size = |shape: &[i64], kind: Kind| product(shape).map(|count| count * kind.bytes());
        let needed = |(info, kind): &(TensorInfo, Kind)| {
            let shape = context.shape_of(&info.name);
            shape.and_then(|shape| size(&shape, *kind)).ok_or_else(|| {
                format!("the size of the output `{}` is not settled", info.name.to_string_lossy())
            })
        };
        let room = Room {
            pixels: product(&largest).unwrap_or(0) / 3 * 4,
            pictures: usize::try_from(largest.first().copied().unwrap_or(1)).unwrap_or(1),
            input: size(&largest, kind).ok_or("the size of the input is not settled")?,
            outputs: outputs.iter().map(needed).collect::<Result<_, _>>()?,
        };
        let lane = gpu.lane(&room)?;
        let mut execution = Self {
            main: None,
            fixed: Vec::new(),
            seen: Vec::new(),
            graphs: true,
            lane: Some(lane),
            plan: Arc::clone(plan),
            input,
            kind,
            outputs,
            shapes: Vec::new(),
            room,
            packs: gpu.packs(),
        };
        execution.main = Some(execution.bound(context)?);
        Ok(execution)
    }

    /// The largest shape of the input.
    pub fn largest(&self) -> &[i64] {
        self.input.range.as_ref().map_or(&self.input.shape, |(_, most)| most)
    }

    /// Whether pictures can be packed on the device.
    pub fn packs(&self) -> bool {
        self.packs
    }

    /// Whether the input holds 16-bit floats.
    pub fn half(&self) -> bool {
        self.kind == Kind::Half
    }

    /// Runs values that were packed before.
    ///
    /// # Errors
    /// [`Failure`].
    pub fn run_values(&mut self, shape: &[usize], values: &[f32]) -> Result<(), Failure> {
        let sides = self.fitting(shape)?;
        if product(&sides) != Some(values.len()) {
            return Err(Failure::Refused(format!(
                "{} values for the shape {shape:?}",
                values.len()
            )));
        }
        let bytes: Vec<u8> = match self.kind {
            Kind::Float => values.iter().flat_map(|value| value.to_ne_bytes()).collect(),
            Kind::Half => values.iter().flat_map(|v| f16::from_f32(*v).to_ne_bytes()).collect(),
        };
        let loaded = self.lane()?.load(&bytes);
        loaded.map_err(|why| self.lost(why))?;
        self.go(&sides)
    }

    /// Packs pictures of `pack.pixel_bytes` on the device, and runs them.
    ///
    /// # Errors
    /// [`Failure`].
    pub fn run_pictures(
        &mut self,
        shape: &[usize],
        pictures: &[Picture<'_>],
        pack: &Pack,
    ) -> Result<(), Failure> {
        let refused = |why: &str| Failure::Refused(why.to_owned());
        let sides = self.fitting(shape)?;
        let canvas = (pack.width as usize).checked_mul(pack.height as usize);
        let fills = canvas.and_then(|area| area.checked_mul(3 * pictures.len()));
        let half = u32::from(self.half());
        if fills.is_none() || fills != product(&sides) || pack.half != half {
            return Err(refused("the pictures' canvas is not the input's shape"));
        }
        let taken = pack.source.iter().all(|channel| *channel < pack.pixel_bytes);
        if !(3..=4).contains(&pack.pixel_bytes) || !taken || pictures.len() > self.room.pictures {
            return Err(refused("the pictures cannot be packed so"));
        }
        let (mut table, mut at) = (Vec::with_capacity(pictures.len()), 0usize);
        let pixels = self.lane()?.pixels();
        let pixels = match pixels {
            Ok(pixels) => pixels,
            Err(why) => return Err(Failure::Lost(why)),
        };
        for picture in pictures {
            let length =
                u64::from(picture.width) * u64::from(picture.height) * u64::from(pack.pixel_bytes);
            let end = at.checked_add(picture.bytes.len());
            let target = end.and_then(|end| pixels.get_mut(at..end));
            let (Some(target), true) = (target, length == picture.bytes.len() as u64) else {
                return Err(refused("the pictures are larger than the canvas"));
            };
            target.copy_from_slice(picture.bytes);
            let begin = u32::try_from(at).map_err(|_| refused("the pictures are too large"))?;
            table.push([begin, picture.width, picture.height]);
            at += picture.bytes.len();
        }
        let packed = self.lane()?.pack(&table, at, pack);
        packed.map_err(|why| self.lost(why))?;
        self.go(&sides)
    }

    /// Sides and values of an output of the last run.
    pub fn output(&self, index: usize) -> Option<(Vec<usize>, Vec<f32>)> {
        let (_, kind) = self.outputs.get(index)?;
        let shape = self.shapes.get(index)?;
        let bytes = self.lane.as_ref()?.output(index, product(shape)? * kind.bytes())?;
        let values = match kind {
            Kind::Float => {
                let words = bytes.chunks_exact(4).filter_map(|word| word.try_into().ok());
                words.map(f32::from_ne_bytes).collect()
            }
            Kind::Half => {
                let words = bytes.chunks_exact(2).filter_map(|word| word.try_into().ok());
                words.map(|word| f16::from_ne_bytes(word).to_f32()).collect()
            }
        };
        Some((shape.iter().map(|side| usize::try_from(*side).unwrap_or(0)).collect(), values))
    }

    /// The shape in TensorRT's numbers, where it lies within what the plan takes.
    fn fitting(&self, shape: &[usize]) -> Result<Vec<i64>, Failure> {
        let sides: Option<Vec<i64>> = shape.iter().map(|side| i64::try_from(*side).ok()).collect();
        let fits = |sides: &Vec<i64>| {
            let (least, most) = match &self.input.range {
                Some((least, most)) => (least, most),
                None => (&self.input.shape, &self.input.shape),
            };
            sides.len() == most.len()
                && sides.iter().zip(least).all(|(side, least)| side >= least)
                && sides.iter().zip(most).all(|(side, most)| side <= most)
        };
        sides.filter(fits).ok_or_else(|| {
            let (most, range) = (self.largest(), &self.input.range);
            let least = range.as_ref().map_or(most, |(least, _)| least);
            Failure::Refused(format!("the plan takes {least:?} to {most:?}, not {shape:?}"))
        })
    }

    fn lane(&mut self) -> Result<&mut Lane, Failure> {
        self.lane.as_mut().ok_or_else(|| Failure::Lost("the device was lost before".into()))
    }

    /// A context with all its addresses.
    fn bound(&mut self, mut context: Context) -> Result<Slot, String> {
        let lane = self.lane.as_mut().ok_or("the device was lost before")?;
        // SAFETY: the lane's buffers have room for the largest shape and outlive the context: fields drop in their order,
        // and a lane that is given up keeps its memory.
        unsafe {
            context.bind(&self.input.name, lane.input_address())?;
            for (index, (info, _)) in self.outputs.iter().enumerate() {
                let address = lane.output_address(index).ok_or("an output has no room")?;
                context.bind(&info.name, address)?;
            }
        }
        Ok(Slot { context, graph: None })
    }

    /// Queues one run of what lies in the input, and waits for it.
    fn go(&mut self, sides: &[i64]) -> Result<(), Failure> {
        self.prefer_graph(sides);
        let Some(lane) = &mut self.lane else {
            return Err(self.lost("the device was lost before".into()));
        };
        let fixed = self.fixed.iter_mut().find(|(shape, _)| shape == sides).map(|(_, slot)| slot);
        let Some(slot) = fixed.or(self.main.as_mut()) else {
            return Err(Failure::Lost("the device was lost before".into()));
        };
        let queued = match &slot.graph {
            Some(graph) => graph.launch(),
            None => {
                let shaped = slot.context.set_shape(&self.input.name, sides);
                shaped.map_err(Failure::Refused)?;
                // SAFETY: the stream is the lane's, which is alive.
                unsafe { slot.context.enqueue(lane.stream()) }
            }
        };
        let shape_of = |(info, _): &(TensorInfo, Kind)| slot.context.shape_of(&info.name);
        let shapes: Option<Vec<_>> = self.outputs.iter().map(shape_of).collect();
        let bytes = |shapes: &Vec<Vec<i64>>| {
            let sizes = shapes.iter().zip(&self.outputs);
            sizes.map(|(shape, (_, kind))| Some(product(shape)? * kind.bytes())).collect()
        };
        let sizes: Option<Vec<usize>> = shapes.as_ref().and_then(bytes);
        let done = match (queued, sizes) {
            (Ok(()), Some(sizes)) => lane.finish(&sizes, LIMIT),
            (Ok(()), None) => Err("the size of an output is not settled after a run".into()),
            (Err(why), _) => Err(why),
        };
        self.shapes = shapes.unwrap_or_default();
        done.map_err(|why| self.lost(why))
    }

    /// Gives a shape that comes often a context and a graph of its own: TensorRT's graphs hold for the shape, the addresses
    /// and the context that they were made with.
    fn prefer_graph(&mut self, sides: &[i64]) {
        if !self.graphs || self.fixed.iter().any(|(shape, _)| shape == sides) {
            return;
        }
        let known = self.seen.iter().position(|(shape, _)| shape == sides);
        let index = known.unwrap_or_else(|| {
            self.seen.push((sides.to_vec(), 0));
            self.seen.len() - 1
        });
        let Some((_, count)) = self.seen.get_mut(index) else { return };
        *count += 1;
        let count = *count;
        // Pictures of every size would fill the list; the newest gives way, and gets no graph.
        self.seen.truncate(4 * GRAPHS);
        if count < OFTEN || self.fixed.len() >= GRAPHS {
            return;
        }
        // Whatever fails: without a graph it runs all the same.
        self.graphs = self.fix(sides).is_some();
    }

    fn fix(&mut self, sides: &[i64]) -> Option<()> {
        let context = Context::new(&self.plan).ok()?;
        let mut slot = self.bound(context).ok()?;
        slot.context.set_shape(&self.input.name, sides).ok()?;
        let lane = self.lane.as_mut()?;
        let stream = lane.stream();
        // A first run outside settles what TensorRT puts off until then.
        // SAFETY: the stream is the lane's, which is alive.
        unsafe { slot.context.enqueue(stream) }.ok()?;
        lane.finish(&[], LIMIT).ok()?;
        // SAFETY: as above.
        let graph = lane.capture(|| unsafe { slot.context.enqueue(stream) })?;
        slot.graph = Some(graph);
        self.fixed.push((sides.to_vec(), slot));
        Some(())
    }

    /// Gives everything up without touching the device: freeing could wait for ever.
    fn lost(&mut self, why: String) -> Failure {
        std::mem::forget(self.lane.take());
        std::mem::forget(self.main.take());
        std::mem::forget(std::mem::take(&mut self.fixed));
        Failure::Lost(why)
    }
}

/// How many numbers there are; `None` where a side is not settled.
fn product(shape: &[i64]) -> Option<usize> {
    shape.iter().try_fold(1usize, |all, side| all.checked_mul(usize::try_from(*side).ok()?))
}
