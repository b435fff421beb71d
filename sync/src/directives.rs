//! What sync needs of a box for directives. The gateway is one; tests bring their own.

use domain::directive::{Place, SignedDirective};

use crate::journal::Trouble;

/// What became of a directive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// Applied or refused; either way the journal says so, and the next one may come.
    Done,
    /// Taken before: not applied again.
    Known,
    /// Something before it in its lane is missing.
    Gap,
    /// Not by the hub, not for this box, or no directive: passed over.
    Distrusted,
}

/// A box that takes directives. Calls block for as long as a disk or a change takes: the driver makes them from a thread of their own,
/// one at a time.
pub trait Directives: Send + Sync + 'static {
    /// The last place that was taken of every lane of every epoch.
    ///
    /// # Errors
    /// Where the store cannot be read.
    fn taken(&self) -> Result<Vec<Place>, Trouble>;

    /// Takes one: checks by whom and for whom it is, and that it is the next of its lane; does what it orders; keeps the place and the
    /// receipt in one transaction. After a crash in between it may be done once more, which every order bears.
    ///
    /// # Errors
    /// Where the store cannot be written: it comes again.
    fn take(&self, signed: &SignedDirective) -> Result<Taken, Trouble>;
}
