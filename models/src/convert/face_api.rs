//! face-api.js age and gender net: TinyXception with two main blocks (source: `AgeGenderNet.ts` and `TinyXception.ts` of
//! justadudewhohacks/face-api.js). Its files hold weights only; the graph is written here. Of the two heads only the
//! age is kept: Weir has no use for a guess at someone's gender.

use super::file;
use super::onnx::{Attribute, Dimension, Graph};
use super::weights::{Group, Weights};

const MANIFEST: &str = "age_gender_model-weights_manifest.json";
/// Side of the square input in pixels.
const SIDE: i64 = 112;
/// Mean of each channel, red first, and the divisor: `AgeGenderNet.ts`, `normalize(x, [r, g, b]).div(256)`.
const MEAN: [f32; 3] = [122.782, 117.001, 104.298];
const DIVISOR: f32 = 256.0;
/// Blocks between entry and exit.
const MAIN_BLOCKS: usize = 2;
/// Side in pixels of what the last convolution gives.
const LAST_SIDE: i64 = 7;

/// Converts the weights manifest and its shard. The input is called `input` (RGB, 0..=255), the output `age`.
pub(super) fn convert(files: &[(&str, &[u8])]) -> Result<Vec<u8>, String> {
    let groups: Vec<Group> = serde_json::from_slice(file(files, MANIFEST)?)
        .map_err(|error| format!("{MANIFEST}: {error}"))?;
    let weights = Weights::read(&groups, |path| file(files, path))?;
    let mut net = Net { weights, graph: Graph::default() };
    net.normalise();
    let mut x = net.convolution("normalised", "entry_flow/conv_in", 3, 2)?;
    x = net.relu(&x);
    x = net.reduction(&x, "entry_flow/reduction_block_0", false)?;
    x = net.reduction(&x, "entry_flow/reduction_block_1", true)?;
    for block in 0..MAIN_BLOCKS {
        let mut y = x.clone();
        for part in 0..3 {
            y = net.relu(&y);
            y =
                net.separable(&y, &format!("middle_flow/main_block_{block}/separable_conv{part}"))?;
        }
        x = net.add(&y, &x);
    }
    x = net.reduction(&x, "exit_flow/reduction_block", true)?;
    x = net.separable(&x, "exit_flow/separable_conv")?;
    x = net.relu(&x);
    net.head(&x)?;
    Ok(net.graph.into_model("face-api-age"))
}

struct Net {
    weights: Weights,
    graph: Graph,
}

impl Net {
    fn normalise(&mut self) {
        let side = Dimension::Fixed(SIDE);
        self.graph.input("input", &[Dimension::Batch, Dimension::Fixed(3), side, side]);
        self.graph.weight("mean", &[1, 3, 1, 1], &MEAN);
        self.graph.weight("divisor", &[1], &[DIVISOR]);
        self.graph.node("Sub", &["input", "mean"], "centred", &[]);
        self.graph.node("Div", &["centred", "divisor"], "normalised", &[]);
    }

    /// `[relu] → separable → relu → separable → max pool`, plus a strided 1 × 1 convolution around it all.
    fn reduction(&mut self, x: &str, name: &str, activate: bool) -> Result<String, String> {
        let mut y = if activate { self.relu(x) } else { x.to_owned() };
        y = self.separable(&y, &format!("{name}/separable_conv0"))?;
        y = self.relu(&y);
        y = self.separable(&y, &format!("{name}/separable_conv1"))?;
        let pooled = format!("{name}/pooled");
        self.graph.node("MaxPool", &[&y], &pooled, &window(3, 2));
        let around = self.convolution(x, &format!("{name}/expansion_conv"), 1, 2)?;
        Ok(self.add(&pooled, &around))
    }

    fn convolution(
        &mut self,
        x: &str,
        name: &str,
        kernel: usize,
        stride: usize,
    ) -> Result<String, String> {
        let filters = self.weights.find(&format!("{name}/filters"))?;
        let [h, w, inputs, outputs] = filters.sides()?;
        if (h, w) != (kernel, kernel) {
            return Err(format!(
                "{name}: a kernel of {w}×{h} where {kernel}×{kernel} was expected"
            ));
        }
        let data = filters.out_first()?;
        let bias = self.weights.vector(&format!("{name}/bias"), outputs)?;
        let (w, b) = (format!("{name}/w"), format!("{name}/b"));
        self.graph.weight(&w, &[outputs, inputs, kernel, kernel], &data);
        self.graph.weight(&b, &[outputs], bias);
        self.graph.node("Conv", &[x, &w, &b], name, &window(kernel, stride));
        Ok(name.to_owned())
    }

    /// A 3 × 3 convolution of each channel, then a 1 × 1 convolution across them.
    fn separable(&mut self, x: &str, name: &str) -> Result<String, String> {
        let depthwise = self.weights.find(&format!("{name}/depthwise_filter"))?;
        let [h, w, channels, _] = depthwise.sides()?;
        let pointwise = self.weights.find(&format!("{name}/pointwise_filter"))?;
        let [one_h, one_w, inputs, outputs] = pointwise.sides()?;
        if (h, w, one_h, one_w, inputs) != (3, 3, 1, 1, channels) {
            return Err(format!("{name}: its filters do not fit together"));
        }
        let (depthwise, pointwise) = (depthwise.depthwise()?, pointwise.out_first()?);
        let bias = self.weights.vector(&format!("{name}/bias"), outputs)?;
        let spread = format!("{name}/depthwise");
        let (dw, pw, b) = (format!("{name}/dw"), format!("{name}/pw"), format!("{name}/b"));
        self.graph.weight(&dw, &[channels, 1, 3, 3], &depthwise);
        self.graph.weight(&pw, &[outputs, inputs, 1, 1], &pointwise);
        self.graph.weight(&b, &[outputs], bias);
        let mut attributes = window(3, 1);
        attributes.push(("group", Attribute::Int(channels as i64)));
        self.graph.node("Conv", &[x, &dw], &spread, &attributes);
        self.graph.node("Conv", &[&spread, &pw, &b], name, &window(1, 1));
        Ok(name.to_owned())
    }

    fn relu(&mut self, x: &str) -> String {
        let output = format!("{x}/relu");
        self.graph.node("Relu", &[x], &output, &[]);
        output
    }

    fn add(&mut self, a: &str, b: &str) -> String {
        let output = format!("{a}/sum");
        self.graph.node("Add", &[a, b], &output, &[]);
        output
    }

    fn head(&mut self, x: &str) -> Result<(), String> {
        let kernel = self.weights.find("fc/age/weights")?;
        let &[inputs, 1] = kernel.shape.as_slice() else {
            return Err(format!("fc/age/weights has shape {:?}", kernel.shape));
        };
        let bias = self.weights.vector("fc/age/bias", 1)?;
        self.graph.weight("fc/age/w", &[inputs, 1], &kernel.data);
        self.graph.weight("fc/age/b", &[1], bias);
        let side = [LAST_SIDE; 2];
        let pool =
            [("kernel_shape", Attribute::Ints(&side)), ("strides", Attribute::Ints(&[2, 2]))];
        self.graph.node("AveragePool", &[x], "pooled", &pool);
        self.graph.node("Flatten", &["pooled"], "flat", &[("axis", Attribute::Int(1))]);
        self.graph.node("Gemm", &["flat", "fc/age/w", "fc/age/b"], "age", &[]);
        self.graph.output("age", &[Dimension::Batch, Dimension::Fixed(1)]);
        Ok(())
    }
}

/// Kernel, stride and TensorFlow's `same` padding, which for a stride of two over an even side lies at the end.
fn window(kernel: usize, stride: usize) -> Vec<(&'static str, Attribute<'static>)> {
    let (kernel, pads): (&[i64], &[i64]) = match (kernel, stride) {
        (1, _) => (&[1, 1], &[0, 0, 0, 0]),
        (_, 1) => (&[3, 3], &[1, 1, 1, 1]),
        _ => (&[3, 3], &[0, 0, 1, 1]),
    };
    let strides: &[i64] = if stride == 1 { &[1, 1] } else { &[2, 2] };
    vec![
        ("kernel_shape", Attribute::Ints(kernel)),
        ("pads", Attribute::Ints(pads)),
        ("strides", Attribute::Ints(strides)),
    ]
}
