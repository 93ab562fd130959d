//! What passes and derivatives may do with an operation.

/// What an operation says of itself, beside its rules.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Properties {
    /// How a loop's reverse pass comes by its results.
    pub recompute: Recompute,
    /// No derivative flows through it.
    pub blocks_gradient: bool,
    /// It gives its operand as it is.
    pub is_identity: bool,
    /// When its result is a known number.
    pub fold: Fold,
    /// The number that, everywhere in the first or the second operand, makes the result equal the other operand.
    pub neutral: [Option<f64>; 2],
}

/// How the reverse pass of a loop comes by a result of the forward pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recompute {
    /// Kept in a stack.
    Save,
    /// Computed again where nothing new must be kept for it: that costs less than the stack.
    Cheap,
    /// Computed again always: what it needs is no larger, or the same memory.
    Free,
}

/// When a result is the same known number everywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fold {
    /// Not looked at.
    Never,
    /// Where the operands are known and the result is a scalar: by the operation's own `eval`.
    Scalar,
    /// Where its operand is one: it has the same elements.
    Rearranged,
}

impl Properties {
    /// Kept for the reverse pass; nothing else.
    pub const SAVE: Properties = Properties::new(Recompute::Save);
    /// Cheap to compute again; nothing else.
    pub const CHEAP: Properties = Properties::new(Recompute::Cheap);
    /// Free to compute again; nothing else.
    pub const FREE: Properties = Properties::new(Recompute::Free);

    const fn new(recompute: Recompute) -> Self {
        Properties { recompute, blocks_gradient: false, is_identity: false, fold: Fold::Never, neutral: [None; 2] }
    }

    /// With folding of constants.
    pub const fn folding(self, fold: Fold) -> Self {
        Properties { fold, ..self }
    }

    /// Folds scalars, with numbers that change nothing as first or second operand.
    pub const fn arithmetic(self, neutral: [Option<f64>; 2]) -> Self {
        Properties { fold: Fold::Scalar, neutral, ..self }
    }
}
