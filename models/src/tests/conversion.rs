//! Conversion: a small Keras model whose output is computed by hand.

use super::{engine, tiny_manifest};
use crate::convert::convert;
use crate::library::digest_of;
use crate::manifest::Conversion;
use crate::{Engine, Tensor};

/// Padding → 3 × 3 convolution (stride 2) → normalisation → ReLU6 → depthwise → pool → flatten → dense softmax.
const MODEL: &str = r#"{"modelTopology":{"model_config":{"config":{"layers":[
 {"class_name":"InputLayer","config":{"name":"in","batch_input_shape":[null,2,2,1]},"inbound_nodes":[]},
 {"class_name":"ZeroPadding2D","config":{"name":"pad","padding":[[0,1],[0,1]]},"inbound_nodes":[[["in",0,0,{}]]]},
 {"class_name":"Conv2D","config":{"name":"conv","strides":[2,2],"padding":"valid","dilation_rate":[1,1],
   "activation":"linear","use_bias":false},"inbound_nodes":[[["pad",0,0,{}]]]},
 {"class_name":"BatchNormalization","config":{"name":"norm","epsilon":0.0},"inbound_nodes":[[["conv",0,0,{}]]]},
 {"class_name":"ReLU","config":{"name":"relu","max_value":6.0,"negative_slope":0.0,"threshold":0.0},
   "inbound_nodes":[[["norm",0,0,{}]]]},
 {"class_name":"DepthwiseConv2D","config":{"name":"deep","strides":[1,1],"padding":"same","dilation_rate":[1,1],
   "activation":"linear","use_bias":false},"inbound_nodes":[[["relu",0,0,{}]]]},
 {"class_name":"Add","config":{"name":"add"},"inbound_nodes":[[["deep",0,0,{}],["relu",0,0,{}]]]},
 {"class_name":"AveragePooling2D","config":{"name":"pool","pool_size":[1,1],"strides":[1,1],"padding":"valid"},
   "inbound_nodes":[[["add",0,0,{}]]]},
 {"class_name":"Flatten","config":{"name":"flat"},"inbound_nodes":[[["pool",0,0,{}]]]},
 {"class_name":"Dropout","config":{"name":"drop"},"inbound_nodes":[[["flat",0,0,{}]]]},
 {"class_name":"Dense","config":{"name":"dense","activation":"softmax","use_bias":true},
   "inbound_nodes":[[["drop",0,0,{}]]]}]}}},
"weightsManifest":[{"paths":["shard"],"weights":[
 {"name":"conv/kernel","shape":[3,3,1,2],"dtype":"float32","quantization":{"dtype":"uint8","scale":0.5,"min":-1.0}},
 {"name":"norm/gamma","shape":[2],"dtype":"float32"},{"name":"norm/beta","shape":[2],"dtype":"float32"},
 {"name":"norm/moving_mean","shape":[2],"dtype":"float32"},{"name":"norm/moving_variance","shape":[2],"dtype":"float32"},
 {"name":"deep/depthwise_kernel","shape":[3,3,2,1],"dtype":"float32","quantization":{"dtype":"uint8","scale":1,"min":0}},
 {"name":"dense/kernel","shape":[2,2],"dtype":"float32"},{"name":"dense/bias","shape":[2],"dtype":"float32"}]}]}"#;

fn shard() -> Vec<u8> {
    // Kernels of ones and twos: 4 × 0.5 − 1 and 6 × 0.5 − 1.
    let mut shard = [4u8, 6].repeat(9);
    let floats =
        |values: &[f32]| -> Vec<u8> { values.iter().flat_map(|v| v.to_le_bytes()).collect() };
    shard.extend(floats(&[2.0, 1.0, 1.0, -1.0, 4.0, 16.0, 4.0, 4.0]));
    // Depthwise: only the centre counts on one pixel; 1 and 3 there, 9 around.
    let mut deep = [9u8; 18];
    (deep[8], deep[9]) = (1, 3);
    shard.extend(deep);
    shard.extend(floats(&[1.0, 0.0, 0.0, 1.0, 0.0, 7.0]));
    shard
}

#[test]
fn a_small_model_gives_what_arithmetic_says_and_the_same_bytes_each_time() {
    let shard = shard();
    let files = [("model.json", MODEL.as_bytes()), ("shard", shard.as_slice())];
    let onnx = convert(Conversion::NsfwjsTfjs, &files).unwrap();
    assert_eq!(onnx, convert(Conversion::NsfwjsTfjs, &files).unwrap());
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("small.onnx");
    std::fs::write(&path, &onnx).unwrap();
    let mut session = engine().load(&tiny_manifest(), &path, 1).unwrap();
    // Sum 10 → ones: 10, twos: 20 → normalised (10 − 4)·2/2 + 1 = 7 and (20 − 16)/2 − 1 = 1 → ReLU6: 6 and 1
    // → depthwise 6 and 3, plus 6 and 1 → 12 and 4 → biased 12 and 11.
    let input =
        Tensor { shape: vec![2, 1, 2, 2], data: vec![1.0, 2.0, 3.0, 4.0, 0.0, 0.0, 0.0, 0.0] };
    let probs = &session.run(&input).unwrap()[0];
    let first = 1.0 / (1.0 + (-1f32).exp());
    assert!((probs.data[0] - first).abs() < 1e-6, "{probs:?}");
    // All zero: −4·1 + 1 = −3 → 0, and −16/2 − 1 → 0; biased 0 and 7.
    assert!((probs.data[3] - 1.0 / (1.0 + (-7f32).exp())).abs() < 1e-6, "{probs:?}");
}

#[test]
fn what_does_not_fit_is_told_and_never_panics() {
    let shard = shard();
    let failure = |model: &str, shard: &[u8]| {
        convert(Conversion::NsfwjsTfjs, &[("model.json", model.as_bytes()), ("shard", shard)])
            .unwrap_err()
    };
    assert!(failure(MODEL, &shard[1..]).contains("end before dense/bias"));
    assert!(failure(MODEL, &[shard.as_slice(), &[0]].concat()).contains("1 bytes are left"));
    assert!(failure(&MODEL.replace("Dropout", "LSTM"), &shard).contains("LSTM"));
    assert!(failure(&MODEL.replace("\"uint8\"", "\"uint16\""), &shard).contains("uint16"));
    assert!(failure(&MODEL.replace("[3,3,1,2]", "[3,3,2,1]"), &shard).contains("channels"));
    assert!(failure(&MODEL.replace("[null,2,2,1]", "[null,9,9,1]"), &shard).contains("flattening"));
    assert!(failure("{", &shard).contains("model.json"));
    assert!(convert(Conversion::NsfwjsTfjs, &[]).unwrap_err().contains("model.json"));
    assert!(convert(Conversion::FaceApiAge, &[]).unwrap_err().contains("weights_manifest"));
}

/// The weights of a face-api net in which all is zero but the bias of the age.
fn constant_age() -> (String, Vec<u8>) {
    let mut entries = Vec::new();
    let mut bytes = 0;
    let mut add = |name: String, shape: &[usize]| {
        bytes += shape.iter().product::<usize>() * 4;
        entries.push(format!(r#"{{"name":"{name}","shape":{shape:?},"dtype":"float32"}}"#));
    };
    let separable = |name: &str, add: &mut dyn FnMut(String, &[usize])| {
        add(format!("{name}/depthwise_filter"), &[3, 3, 2, 1]);
        add(format!("{name}/pointwise_filter"), &[1, 1, 2, 2]);
        add(format!("{name}/bias"), &[2]);
    };
    add("entry_flow/conv_in/filters".into(), &[3, 3, 3, 2]);
    add("entry_flow/conv_in/bias".into(), &[2]);
    for block in [
        "entry_flow/reduction_block_0",
        "entry_flow/reduction_block_1",
        "exit_flow/reduction_block",
    ] {
        separable(&format!("{block}/separable_conv0"), &mut add);
        separable(&format!("{block}/separable_conv1"), &mut add);
        add(format!("{block}/expansion_conv/filters"), &[1, 1, 2, 2]);
        add(format!("{block}/expansion_conv/bias"), &[2]);
    }
    for part in 0..6 {
        let name = format!("middle_flow/main_block_{}/separable_conv{}", part / 3, part % 3);
        separable(&name, &mut add);
    }
    separable("exit_flow/separable_conv", &mut add);
    add("fc/age/weights".into(), &[2, 1]);
    add("fc/age/bias".into(), &[1]);
    let mut shard = vec![0; bytes - 4];
    shard.extend(31.5f32.to_le_bytes());
    (format!(r#"[{{"weights":[{}],"paths":["shard"]}}]"#, entries.join(",")), shard)
}

#[test]
fn a_face_api_net_of_zeros_gives_its_bias() {
    let (manifest, shard) = constant_age();
    let files = [
        ("age_gender_model-weights_manifest.json", manifest.as_bytes()),
        ("shard", shard.as_slice()),
    ];
    let onnx = convert(Conversion::FaceApiAge, &files).unwrap();
    assert_eq!(digest_of(&onnx), digest_of(&convert(Conversion::FaceApiAge, &files).unwrap()));
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("age.onnx");
    std::fs::write(&path, &onnx).unwrap();
    let mut description = tiny_manifest();
    description.output.names = vec!["age".into()];
    let mut session = engine().load(&description, &path, 1).unwrap();
    let input = Tensor { shape: vec![2, 3, 112, 112], data: vec![9.0; 2 * 3 * 112 * 112] };
    assert_eq!(session.run(&input).unwrap()[0].data, [31.5, 31.5]);
}
