//! A Keras functional model as TensorFlow.js stores it (`model.json`: topology and `weightsManifest`), for the layers
//! that convolutional classifiers use. Pictures become NCHW; zero padding and batch normalisation are folded into
//! the convolutions they belong to, so that the engine has less to run.

use std::collections::HashMap;

use serde::Deserialize;
use serde_json::Value;

use super::file;
use super::onnx::{Attribute, Dimension, Graph};
use super::weights::{Group, Weights};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Model {
    model_topology: Topology,
    weights_manifest: Vec<Group>,
}

#[derive(Deserialize)]
struct Topology {
    model_config: ModelConfig,
}

#[derive(Deserialize)]
struct ModelConfig {
    config: Config,
}

#[derive(Deserialize)]
struct Config {
    layers: Vec<Layer>,
}

#[derive(Deserialize)]
struct Layer {
    class_name: String,
    config: Value,
    #[serde(default)]
    inbound_nodes: Vec<Vec<(String, u64, u64, Value)>>,
}

/// Converts `model.json` and the shards that it names. The input is called `input`, the output `probs`.
pub(super) fn convert(files: &[(&str, &[u8])]) -> Result<Vec<u8>, String> {
    let model: Model = serde_json::from_slice(file(files, "model.json")?)
        .map_err(|error| format!("model.json: {error}"))?;
    let weights = Weights::read(&model.weights_manifest, |path| file(files, path))?;
    let layers = &model.model_topology.model_config.config.layers;
    let mut builder = Builder { weights, graph: Graph::default(), values: HashMap::new() };
    let mut index = 0;
    while let Some(layer) = layers.get(index) {
        let consumed = builder.layer(layer, layers.get(index + 1), index + 1 == layers.len())?;
        index += consumed;
    }
    Ok(builder.graph.into_model("keras"))
}

/// What a layer gives: a tensor of the graph, its sides, and zero padding that is still to be folded.
#[derive(Clone)]
struct Feature {
    tensor: String,
    channels: usize,
    height: usize,
    width: usize,
    /// Top, left, bottom, right.
    padding: [usize; 4],
}

/// Shape of a convolution: kernel and strides, then what both give.
struct Geometry {
    kernel: [usize; 2],
    strides: [usize; 2],
    /// Top, left, bottom, right.
    pads: [usize; 4],
    height: usize,
    width: usize,
}

struct Builder {
    weights: Weights,
    graph: Graph,
    /// By layer. Only looked up, never walked: its order does not matter.
    values: HashMap<String, Feature>,
}

impl Builder {
    /// Adds a layer, together with the next one where that is its batch normalisation; gives how many were used.
    fn layer(&mut self, layer: &Layer, next: Option<&Layer>, last: bool) -> Result<usize, String> {
        let name = layer.text("name")?;
        let value = match layer.class_name.as_str() {
            "InputLayer" => self.input(layer)?,
            "ZeroPadding2D" => pad(layer, self.inbound(layer, 0)?)?,
            "Conv2D" | "DepthwiseConv2D" => {
                let norm = next.filter(|next| {
                    next.class_name == "BatchNormalization" && next.inbound_name(0) == Some(name)
                });
                let value = self.convolution(layer, norm)?;
                let output = norm.map_or(Ok(name), |norm| norm.text("name"))?;
                self.values.insert(output.to_owned(), value);
                return Ok(1 + usize::from(norm.is_some()));
            }
            "ReLU" => self.relu(layer)?,
            "Add" => self.add(layer)?,
            "AveragePooling2D" => self.average(layer)?,
            "Flatten" => self.flatten(layer)?,
            "Dense" => self.dense(layer, last)?,
            // Does nothing outside training.
            "Dropout" => self.inbound(layer, 0)?,
            other => return Err(format!("{name}: the layer {other} is not known")),
        };
        self.values.insert(name.to_owned(), value);
        Ok(1)
    }

    /// The value that comes into a layer; padding may only reach a convolution.
    fn inbound(&self, layer: &Layer, index: usize) -> Result<Feature, String> {
        let name = layer.inbound_name(index).ok_or("a layer lacks an input")?;
        let value =
            self.values.get(name).ok_or_else(|| format!("{name} is used before it is made"))?;
        let folds = matches!(layer.class_name.as_str(), "Conv2D" | "DepthwiseConv2D");
        if value.padding != [0; 4] && !folds {
            return Err(format!("{name}: padding before {} is not known", layer.class_name));
        }
        Ok(value.clone())
    }

    fn input(&mut self, layer: &Layer) -> Result<Feature, String> {
        let shape: Vec<Option<usize>> = layer.get("batch_input_shape")?;
        let [_, Some(height), Some(width), Some(channels)] = shape[..] else {
            return Err(format!("an input of shape {shape:?} is not known"));
        };
        let side = |side: usize| Dimension::Fixed(side as i64);
        self.graph.input("input", &[Dimension::Batch, side(channels), side(height), side(width)]);
        Ok(Feature { tensor: "input".into(), channels, height, width, padding: [0; 4] })
    }

    fn convolution(&mut self, layer: &Layer, norm: Option<&Layer>) -> Result<Feature, String> {
        let name = layer.text("name")?;
        let value = self.inbound(layer, 0)?;
        let depthwise = layer.class_name == "DepthwiseConv2D";
        let suffix = if depthwise { "depthwise_kernel" } else { "kernel" };
        let kernel = self.weights.find(&format!("{name}/{suffix}"))?;
        let [kh, kw, inputs, outputs] = kernel.sides()?;
        if inputs != value.channels {
            return Err(format!("{name}: {inputs} channels where {} come", value.channels));
        }
        let outputs = if depthwise { inputs } else { outputs };
        let mut data = if depthwise { kernel.depthwise()? } else { kernel.out_first()? };
        let mut bias = vec![0.0; outputs];
        if layer.get::<bool>("use_bias")? {
            bias.copy_from_slice(self.weights.vector(&format!("{name}/bias"), outputs)?);
        }
        if let Some(norm) = norm {
            self.fold(norm, &mut data, &mut bias)?;
        }
        let geometry = geometry(layer, &value, [kh, kw])?;
        let shape = [outputs, if depthwise { 1 } else { inputs }, kh, kw];
        let (w, b, linear) = (format!("{name}/w"), format!("{name}/b"), format!("{name}/linear"));
        self.graph.weight(&w, &shape, &data);
        self.graph.weight(&b, &[outputs], &bias);
        let activation = layer.text("activation")?;
        let output = if activation == "linear" { name } else { &linear };
        self.graph.node(
            "Conv",
            &[&value.tensor, &w, &b],
            output,
            &[
                ("group", Attribute::Int(if depthwise { inputs as i64 } else { 1 })),
                ("kernel_shape", Attribute::Ints(&geometry.kernel.map(|n| n as i64))),
                ("pads", Attribute::Ints(&geometry.pads.map(|n| n as i64))),
                ("strides", Attribute::Ints(&geometry.strides.map(|n| n as i64))),
            ],
        );
        if activation != "linear" {
            if norm.is_some() {
                return Err(format!("{name}: an activation before its normalisation is not known"));
            }
            self.activate(activation, &linear, name)?;
        }
        let (height, width) = (geometry.height, geometry.width);
        Ok(Feature { tensor: name.into(), channels: outputs, height, width, padding: [0; 4] })
    }

    /// y = γ·(x − μ)/√(σ² + ε) + β, with x = W·v + b, is a convolution with W·s and (b − μ)·s + β for s = γ/√(σ² + ε).
    fn fold(&self, norm: &Layer, data: &mut [f32], bias: &mut [f32]) -> Result<(), String> {
        let name = norm.text("name")?;
        let epsilon: f64 = norm.get("epsilon")?;
        let vector = |part: &str| self.weights.vector(&format!("{name}/{part}"), bias.len());
        let gamma = vector("gamma")?;
        let beta = vector("beta")?;
        let mean = vector("moving_mean")?;
        let variance = vector("moving_variance")?;
        let per_output = data.len() / bias.len().max(1);
        let statistics = gamma.iter().zip(beta).zip(mean.iter().zip(variance));
        let channels = data.chunks_exact_mut(per_output.max(1)).zip(bias.iter_mut());
        for ((kernel, bias), ((gamma, beta), (mean, variance))) in channels.zip(statistics) {
            let scale = f64::from(*gamma) / (f64::from(*variance) + epsilon).sqrt();
            for weight in kernel {
                *weight = (f64::from(*weight) * scale) as f32;
            }
            *bias = ((f64::from(*bias) - f64::from(*mean)) * scale + f64::from(*beta)) as f32;
        }
        Ok(())
    }

    fn relu(&mut self, layer: &Layer) -> Result<Feature, String> {
        let name = layer.text("name")?;
        let value = self.inbound(layer, 0)?;
        let zero = |key: &str| layer.config.get(key).is_none_or(|v| v.as_f64() == Some(0.0));
        if !zero("negative_slope") || !zero("threshold") {
            return Err(format!("{name}: a leaky or shifted ReLU is not known"));
        }
        match layer.get::<Option<f64>>("max_value")? {
            None => self.graph.node("Relu", &[&value.tensor], name, &[]),
            Some(most) => {
                let (low, high) = (format!("{name}/min"), format!("{name}/max"));
                self.graph.weight(&low, &[], &[0.0]);
                self.graph.weight(&high, &[], &[most as f32]);
                self.graph.node("Clip", &[&value.tensor, &low, &high], name, &[]);
            }
        }
        Ok(Feature { tensor: name.into(), ..value })
    }

    fn add(&mut self, layer: &Layer) -> Result<Feature, String> {
        let name = layer.text("name")?;
        let (a, b) = (self.inbound(layer, 0)?, self.inbound(layer, 1)?);
        if (a.channels, a.height, a.width) != (b.channels, b.height, b.width) {
            return Err(format!("{name}: the sides of its inputs differ"));
        }
        self.graph.node("Add", &[&a.tensor, &b.tensor], name, &[]);
        Ok(Feature { tensor: name.into(), ..a })
    }

    fn average(&mut self, layer: &Layer) -> Result<Feature, String> {
        let name = layer.text("name")?;
        let value = self.inbound(layer, 0)?;
        let geometry = geometry(layer, &value, layer.get("pool_size")?)?;
        if geometry.pads != [0; 4] {
            return Err(format!("{name}: pooling over padding is not known"));
        }
        self.graph.node(
            "AveragePool",
            &[&value.tensor],
            name,
            &[
                ("kernel_shape", Attribute::Ints(&geometry.kernel.map(|n| n as i64))),
                ("strides", Attribute::Ints(&geometry.strides.map(|n| n as i64))),
            ],
        );
        let (height, width) = (geometry.height, geometry.width);
        Ok(Feature { tensor: name.into(), height, width, ..value })
    }

    /// Only of one pixel, where the order of dimensions makes no difference.
    fn flatten(&mut self, layer: &Layer) -> Result<Feature, String> {
        let name = layer.text("name")?;
        let value = self.inbound(layer, 0)?;
        if (value.height, value.width) != (1, 1) {
            return Err(format!(
                "{name}: flattening {}×{} pixels is not known",
                value.width, value.height
            ));
        }
        self.graph.node("Flatten", &[&value.tensor], name, &[("axis", Attribute::Int(1))]);
        Ok(Feature { tensor: name.into(), ..value })
    }

    fn dense(&mut self, layer: &Layer, last: bool) -> Result<Feature, String> {
        let name = layer.text("name")?;
        let value = self.inbound(layer, 0)?;
        let kernel = self.weights.find(&format!("{name}/kernel"))?;
        let &[inputs, units] = kernel.shape.as_slice() else {
            return Err(format!("{name}: a kernel of shape {:?} is not known", kernel.shape));
        };
        if inputs != value.channels || !layer.get::<bool>("use_bias")? {
            return Err(format!(
                "{name}: {inputs} inputs where {} come, or no bias",
                value.channels
            ));
        }
        let bias = self.weights.vector(&format!("{name}/bias"), units)?;
        let (w, b, linear) = (format!("{name}/w"), format!("{name}/b"), format!("{name}/linear"));
        self.graph.weight(&w, &[inputs, units], &kernel.data);
        self.graph.weight(&b, &[units], bias);
        self.graph.node("Gemm", &[&value.tensor, &w, &b], &linear, &[]);
        let output = if last { "probs" } else { name };
        self.activate(layer.text("activation")?, &linear, output)?;
        if last {
            self.graph.output(output, &[Dimension::Batch, Dimension::Fixed(units as i64)]);
        }
        Ok(Feature { tensor: output.into(), channels: units, height: 1, width: 1, padding: [0; 4] })
    }

    fn activate(&mut self, activation: &str, input: &str, output: &str) -> Result<(), String> {
        match activation {
            "relu" => self.graph.node("Relu", &[input], output, &[]),
            "softmax" => {
                self.graph.node("Softmax", &[input], output, &[("axis", Attribute::Int(1))]);
            }
            "linear" => self.graph.node("Identity", &[input], output, &[]),
            other => return Err(format!("{output}: the activation {other} is not known")),
        }
        Ok(())
    }
}

impl Layer {
    fn get<T: serde::de::DeserializeOwned>(&self, key: &str) -> Result<T, String> {
        let value = self.config.get(key).cloned().unwrap_or(Value::Null);
        serde_json::from_value(value)
            .map_err(|error| format!("{} `{key}`: {error}", self.class_name))
    }

    fn text(&self, key: &str) -> Result<&str, String> {
        self.config
            .get(key)
            .and_then(Value::as_str)
            .ok_or_else(|| format!("{} lacks `{key}`", self.class_name))
    }

    fn inbound_name(&self, index: usize) -> Option<&str> {
        Some(self.inbound_nodes.first()?.get(index)?.0.as_str())
    }
}

fn pad(layer: &Layer, value: Feature) -> Result<Feature, String> {
    let [[top, bottom], [left, right]]: [[usize; 2]; 2] = layer.get("padding")?;
    Ok(Feature { padding: [top, left, bottom, right], ..value })
}

/// Sides and padding of a convolution or pool, as TensorFlow computes them.
fn geometry(layer: &Layer, value: &Feature, kernel: [usize; 2]) -> Result<Geometry, String> {
    let strides: [usize; 2] = layer.get("strides")?;
    let dilated = layer.get::<Option<[usize; 2]>>("dilation_rate")?.is_some_and(|d| d != [1, 1]);
    if dilated || strides.contains(&0) || kernel.contains(&0) {
        return Err(format!("{}: dilation, or an empty kernel, is not known", layer.text("name")?));
    }
    let [top, left, bottom, right] = value.padding;
    let (height, width) = (value.height + top + bottom, value.width + left + right);
    let same = match layer.text("padding")? {
        "same" => true,
        "valid" => false,
        other => return Err(format!("the padding {other} is not known")),
    };
    let along = |side: usize, kernel: usize, stride: usize| -> Option<(usize, usize, usize)> {
        if same {
            let out = side.div_ceil(stride);
            let pad = ((out.checked_sub(1)? * stride) + kernel).saturating_sub(side);
            Some((out, pad / 2, pad - pad / 2))
        } else {
            Some((side.checked_sub(kernel)? / stride + 1, 0, 0))
        }
    };
    let too_large = || format!("{}: the kernel is larger than the picture", layer.class_name);
    let (out_h, more_top, more_bottom) =
        along(height, kernel[0], strides[0]).ok_or_else(too_large)?;
    let (out_w, more_left, more_right) =
        along(width, kernel[1], strides[1]).ok_or_else(too_large)?;
    let pads = [top + more_top, left + more_left, bottom + more_bottom, right + more_right];
    Ok(Geometry { kernel, strides, pads, height: out_h, width: out_w })
}
