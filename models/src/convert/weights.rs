//! TensorFlow.js weights: a manifest of names, shapes and quantisation, and shards that are read as one byte string.
//!
//! A quantised value is `q × scale + min`, computed in 64 bits and rounded once to 32, as JavaScript does.

use serde::Deserialize;

/// One group of `weightsManifest`.
#[derive(Deserialize)]
pub(super) struct Group {
    pub(super) paths: Vec<String>,
    weights: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    name: String,
    shape: Vec<usize>,
    dtype: String,
    quantization: Option<Quantization>,
}

#[derive(Deserialize)]
struct Quantization {
    dtype: String,
    scale: f64,
    min: f64,
}

/// A weight in the layout of its framework (height, width, in, out).
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Weight {
    pub(super) name: String,
    pub(super) shape: Vec<usize>,
    pub(super) data: Vec<f32>,
}

/// All weights of a model.
pub(super) struct Weights(Vec<Weight>);

impl Weights {
    /// Reads all groups; `shard` gives the bytes of a path.
    pub(super) fn read<'a>(
        groups: &[Group],
        shard: impl Fn(&str) -> Result<&'a [u8], String>,
    ) -> Result<Self, String> {
        let mut weights = Vec::new();
        for group in groups {
            let shards: Result<Vec<&[u8]>, String> =
                group.paths.iter().map(|path| shard(path)).collect();
            let bytes = shards?.concat();
            let mut rest = bytes.as_slice();
            for entry in &group.weights {
                weights.push(entry.read(&mut rest)?);
            }
            if !rest.is_empty() {
                return Err(format!("{} bytes are left after the last weight", rest.len()));
            }
        }
        Ok(Self(weights))
    }

    /// The weight called `name`.
    pub(super) fn find(&self, name: &str) -> Result<&Weight, String> {
        self.0
            .iter()
            .find(|weight| weight.name == name)
            .ok_or_else(|| format!("there is no weight called {name}"))
    }

    /// The elements of a weight with one dimension of `len`.
    pub(super) fn vector(&self, name: &str, len: usize) -> Result<&[f32], String> {
        let weight = self.find(name)?;
        if weight.shape != [len] {
            return Err(format!("{name} has shape {:?} where [{len}] was expected", weight.shape));
        }
        Ok(&weight.data)
    }
}

impl Weight {
    /// The four sides, where there are four.
    pub(super) fn sides(&self) -> Result<[usize; 4], String> {
        <[usize; 4]>::try_from(self.shape.as_slice())
            .map_err(|_| format!("{} has shape {:?}, not four sides", self.name, self.shape))
    }

    /// Height, width, in, out → out, in, height, width.
    pub(super) fn out_first(&self) -> Result<Vec<f32>, String> {
        let [h, w, inputs, outputs] = self.sides()?;
        let mut data = Vec::with_capacity(self.data.len());
        for output in 0..outputs {
            for input in 0..inputs {
                let column = input * outputs + output;
                data.extend(
                    self.data.iter().skip(column).step_by(inputs * outputs).take(h * w).copied(),
                );
            }
        }
        Ok(data)
    }

    /// Height, width, channels, 1 → channels, 1, height, width.
    pub(super) fn depthwise(&self) -> Result<Vec<f32>, String> {
        let [h, w, channels, multiplier] = self.sides()?;
        if multiplier != 1 {
            return Err(format!("{}: a depth multiplier of {multiplier} is not known", self.name));
        }
        Ok((0..channels)
            .flat_map(|channel| {
                self.data.iter().skip(channel).step_by(channels).take(h * w).copied()
            })
            .collect())
    }
}

impl Entry {
    fn read(&self, rest: &mut &[u8]) -> Result<Weight, String> {
        let count = self
            .shape
            .iter()
            .try_fold(1usize, |product, &side| product.checked_mul(side))
            .ok_or_else(|| format!("{}: the shape {:?} is too large", self.name, self.shape))?;
        if self.dtype != "float32" {
            return Err(format!("{}: type {} is not known", self.name, self.dtype));
        }
        let data = match &self.quantization {
            None => {
                let bytes = take(rest, count.checked_mul(4), &self.name)?;
                let (values, _) = bytes.as_chunks::<4>();
                values.iter().map(|value| f32::from_le_bytes(*value)).collect()
            }
            Some(quantization) if quantization.dtype == "uint8" => {
                let bytes = take(rest, Some(count), &self.name)?;
                let value = |q: &u8| (f64::from(*q) * quantization.scale + quantization.min) as f32;
                bytes.iter().map(value).collect()
            }
            Some(other) => {
                return Err(format!("{}: quantisation {} is not known", self.name, other.dtype));
            }
        };
        Ok(Weight { name: self.name.clone(), shape: self.shape.clone(), data })
    }
}

fn take<'a>(rest: &mut &'a [u8], count: Option<usize>, name: &str) -> Result<&'a [u8], String> {
    let (head, tail) = count
        .and_then(|count| rest.split_at_checked(count))
        .ok_or_else(|| format!("the shards end before {name}"))?;
    *rest = tail;
    Ok(head)
}
