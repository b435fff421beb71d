//! An ONNX model under construction. Field numbers are those of `onnx.proto`, IR version 8, opset 13.

use super::protobuf::Message;

const IR_VERSION: i64 = 8;
const OPSET: i64 = 13;
/// `TensorProto.DataType.FLOAT`.
const FLOAT: i64 = 1;

/// A node's attribute.
pub(crate) enum Attribute<'a> {
    Int(i64),
    Ints(&'a [i64]),
}

/// A dimension of an input or output.
#[derive(Clone, Copy)]
pub(crate) enum Dimension {
    /// The batch, of any size.
    Batch,
    /// A fixed size.
    Fixed(i64),
}

/// Nodes and weights, in the order in which they were added.
#[derive(Default)]
pub(crate) struct Graph {
    nodes: Vec<Message>,
    weights: Vec<Message>,
    inputs: Vec<Message>,
    outputs: Vec<Message>,
}

impl Graph {
    /// Adds a node with one output, which gives the node its name.
    pub(crate) fn node(
        &mut self,
        operator: &str,
        inputs: &[&str],
        output: &str,
        attributes: &[(&str, Attribute)],
    ) {
        let mut node = Message::default();
        for input in inputs {
            node.bytes(1, input.as_bytes());
        }
        node.bytes(2, output.as_bytes());
        node.bytes(3, output.as_bytes());
        node.bytes(4, operator.as_bytes());
        for (name, value) in attributes {
            node.message(5, &attribute(name, value));
        }
        self.nodes.push(node);
    }

    /// Adds a constant.
    pub(crate) fn weight(&mut self, name: &str, shape: &[usize], data: &[f32]) {
        let mut tensor = Message::default();
        for &side in shape {
            tensor.int(1, side as i64);
        }
        tensor.int(2, FLOAT);
        tensor.bytes(8, name.as_bytes());
        let raw: Vec<u8> = data.iter().flat_map(|value| value.to_le_bytes()).collect();
        tensor.bytes(9, &raw);
        self.weights.push(tensor);
    }

    /// Declares an input.
    pub(crate) fn input(&mut self, name: &str, shape: &[Dimension]) {
        self.inputs.push(value_info(name, shape));
    }

    /// Declares an output.
    pub(crate) fn output(&mut self, name: &str, shape: &[Dimension]) {
        self.outputs.push(value_info(name, shape));
    }

    /// The finished `ModelProto`.
    pub(crate) fn into_model(self, name: &str) -> Vec<u8> {
        let mut graph = Message::default();
        for node in &self.nodes {
            graph.message(1, node);
        }
        graph.bytes(2, name.as_bytes());
        for (field, messages) in [(5, &self.weights), (11, &self.inputs), (12, &self.outputs)] {
            for message in messages {
                graph.message(field, message);
            }
        }
        let mut opset = Message::default();
        opset.int(2, OPSET);
        let mut model = Message::default();
        model.int(1, IR_VERSION);
        model.bytes(2, b"weir");
        model.message(7, &graph);
        model.message(8, &opset);
        model.into_bytes()
    }
}

/// Type codes: INT 2, INTS 7.
fn attribute(name: &str, value: &Attribute) -> Message {
    let mut message = Message::default();
    message.bytes(1, name.as_bytes());
    match value {
        Attribute::Int(value) => {
            message.int(3, *value);
            message.int(20, 2);
        }
        Attribute::Ints(values) => {
            for value in *values {
                message.int(8, *value);
            }
            message.int(20, 7);
        }
    }
    message
}

fn value_info(name: &str, shape: &[Dimension]) -> Message {
    let mut dimensions = Message::default();
    for dimension in shape {
        let mut message = Message::default();
        match dimension {
            Dimension::Batch => message.bytes(2, b"N"),
            Dimension::Fixed(side) => message.int(1, *side),
        }
        dimensions.message(1, &message);
    }
    let mut tensor = Message::default();
    tensor.int(1, FLOAT);
    tensor.message(2, &dimensions);
    let mut kind = Message::default();
    kind.message(1, &tensor);
    let mut info = Message::default();
    info.bytes(1, name.as_bytes());
    info.message(2, &kind);
    info
}
