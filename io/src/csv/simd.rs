//! The choice of a kernel, and the kernels for x86-64.

use corelane_engine::{Code, Error, Result};

use super::{Kernel, SIMD_VARIABLE};

impl Kernel {
    /// The best kernel of this machine, or the one that `CORELANE_SIMD` names.
    pub fn detect() -> Result<Kernel> {
        match std::env::var(SIMD_VARIABLE) {
            Ok(name) => Kernel::named(&name),
            Err(_) => Ok(*Kernel::supported().last().expect("the scalar kernel is always there")),
        }
    }

    /// The kernel called `avx512`, `avx2` or `scalar`.
    pub fn named(name: &str) -> Result<Kernel> {
        let supported = Kernel::supported();
        if let Some(kernel) = supported.iter().find(|kernel| kernel.name() == name) {
            return Ok(*kernel);
        }
        let names: Vec<_> = supported.iter().map(|kernel| kernel.name()).collect();
        let message = if matches!(name, "avx2" | "avx512") {
            format!("{SIMD_VARIABLE}={name}: this machine does not have it")
        } else {
            format!("{SIMD_VARIABLE}={name}: there is no such kernel")
        };
        Err(Error::new(Code::BadOption, message).help(format!("this machine can do {}", names.join(", "))))
    }

    /// The kernels that this machine can run, slowest first.
    pub fn supported() -> Vec<Kernel> {
        vec![Kernel::Scalar]
    }

    /// Its name in `CORELANE_SIMD`.
    pub fn name(self) -> &'static str {
        match self {
            Kernel::Scalar => "scalar",
        }
    }
}
