//! Compiles the TensorRT shim, where a feature asks for it: against the machine's own headers, or against the fake ones
//! together with the fake library and the fake `trtexec`.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    #[cfg(any(feature = "tensorrt", feature = "tensorrt-mock"))]
    shim::build();
}

#[cfg(any(feature = "tensorrt", feature = "tensorrt-mock"))]
mod shim {
    use std::path::{Path, PathBuf};

    const SOURCE: &str = "src/tensorrt";

    pub fn build() {
        println!("cargo::rerun-if-changed={SOURCE}");
        println!("cargo::rerun-if-env-changed=TENSORRT_INCLUDE_DIR");
        println!("cargo::rerun-if-env-changed=CUDA_INCLUDE_DIR");
        let mut build = compiler();
        build.file(format!("{SOURCE}/shim/weir_trt.cpp"));
        if cfg!(feature = "tensorrt-mock") {
            build.include(format!("{SOURCE}/mock")).file(format!("{SOURCE}/mock/pack.cpp"));
            fakes();
        } else {
            for folder in headers() {
                build.include(folder);
            }
        }
        build.compile("weir_trt");
        println!("cargo::rustc-link-lib=dylib=dl");
    }

    fn compiler() -> cc::Build {
        let mut build = cc::Build::new();
        build.cpp(true).std("c++17").warnings(true).extra_warnings(true);
        build
    }

    /// Folders with TensorRT's and CUDA's headers: named, or where the packages put them.
    fn headers() -> Vec<PathBuf> {
        let named = |name: &str| std::env::var_os(name).map(PathBuf::from);
        let target = std::env::var("CARGO_CFG_TARGET_ARCH").unwrap_or_default();
        let packaged = Path::new("/usr/include").join(format!("{target}-linux-gnu"));
        let tensorrt = named("TENSORRT_INCLUDE_DIR").unwrap_or(packaged);
        assert!(
            tensorrt.join("NvInfer.h").is_file(),
            "no NvInfer.h in {}: install libnvinfer-headers-dev, name its folder in TENSORRT_INCLUDE_DIR, \
             or build without the feature `tensorrt`",
            tensorrt.display()
        );
        let cuda = named("CUDA_INCLUDE_DIR").unwrap_or_else(|| "/usr/local/cuda/include".into());
        vec![tensorrt, cuda]
    }

    /// The fake library in two major versions, one of which is wrong, and the fake program.
    fn fakes() {
        let out = PathBuf::from(std::env::var_os("OUT_DIR").unwrap_or_default());
        let compile = |source: &str, target: &str, options: &[&str]| {
            let mut command = compiler().get_compiler().to_command();
            command.arg(format!("-I{SOURCE}/mock")).args(options).arg("-o").arg(out.join(target));
            command.arg(format!("{SOURCE}/mock/{source}"));
            let status = command.status();
            assert!(status.is_ok_and(|status| status.success()), "{target} does not compile");
        };
        let library = ["-shared", "-fPIC"];
        compile("nvinfer.cpp", "libnvinfer.so.10", &library);
        compile(
            "nvinfer.cpp",
            "libnvinfer-wrong.so",
            &["-shared", "-fPIC", "-DNV_TENSORRT_MAJOR=11"],
        );
        compile("trtexec.cpp", "trtexec", &[]);
        println!("cargo::rustc-env=WEIR_MOCK_DIR={}", out.display());
    }
}
