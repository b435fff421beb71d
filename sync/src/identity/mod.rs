//! Who is who: the hub's certificate authority, the boxes' certificates, and how a box gets its first one.
//!
//! # How a box comes to its certificate
//! 1. `weir-hub token enroll` writes a [`Token`]: the hub's address, the SHA-256 of its authority's certificate, a secret that is good once
//!    and for a day.
//! 2. `weir enroll TOKEN` fetches the authority's certificate, believes it if its hash is the token's, and sends a certificate request,
//!    signed by the device key, with the secret.
//! 3. The hub answers with a certificate for that key, whose common name is the box. The key never leaves the box.
//!
//! A request signed by the device key is all that a renewal takes: whoever holds the key is the box. It is possible after the
//! certificate has run out, too.
//!
//! # Invariants
//! - The box is named by its certificate, never by what it says.
//! - A certificate of the hub holds whatever the box's clock says: clocks of boxes are wrong by years at times.

mod authority;
pub mod enrol;
mod own;
mod tls;
mod token;

pub use authority::{Authority, BOX_DAYS, BoxRequest, Issued, request};
pub use own::Own;
pub use tls::{Certified, HUB_NAME, client, named, server};
pub use token::Token;

/// What can be wrong with keys and certificates.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// A key or certificate that cannot be read.
    #[error("{what} cannot be used: {detail}")]
    Unusable {
        /// Which.
        what: &'static str,
        /// Why.
        detail: String,
    },
    /// A certificate request that is not by this box.
    #[error("the certificate request is not as it should be: {0}")]
    Request(String),
    /// A text that is no token.
    #[error(
        "this is no enrolment token: copy the whole line that `weir-hub token enroll` printed, from `weir1.` to its end"
    )]
    Token,
}

fn unusable(what: &'static str) -> impl FnOnce(String) -> IdentityError {
    move |detail| IdentityError::Unusable { what, detail }
}
