//! What can go wrong while a function is traced.

use std::{fmt, panic::Location};

use twinflow_array::TensorType;

/// Why an operation does not accept its operands. The tracer adds operands, source line and module path.
#[allow(missing_docs, reason = "fields are facts of the message above them")]
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TypeError {
    /// Operands must have equal element types.
    #[error("operands have different element types, {0} and {1}")]
    DTypes(TensorType, TensorType),
    /// Operands must have equal shapes.
    #[error("operands have different shapes, {0} and {1}")]
    Shapes(TensorType, TensorType),
    /// The element type is not one the operation works on.
    #[error("{found} is not {expected}")]
    Kind {
        /// What the operation needs: "a float", "an integer", "bool".
        expected: &'static str,
        found: TensorType,
    },
    #[error("dim {dim} is out of range for {ty}")]
    Dim { dim: i64, ty: TensorType },
    #[error("{found} operands, {expected} expected")]
    Arity {
        /// How many the operation takes.
        expected: usize,
        /// How many were given.
        found: usize,
    },
    /// Attributes and operand do not fit together.
    #[error("{rule} (operand {ty})")]
    Rule {
        /// The rule that is broken, with the numbers.
        rule: String,
        ty: TensorType,
    },
}

/// A function that cannot be traced: the operation, its operands, the line of the model and the module that called it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceError {
    /// What is wrong.
    pub kind: TraceErrorKind,
    /// The operation's name, or the transformation's.
    pub operation: String,
    /// The operands' types.
    pub operands: Vec<TensorType>,
    /// The caller's file and line.
    pub location: String,
    /// The module scopes around the call: `blocks/attn`.
    pub scope: String,
}

/// The kinds of [`TraceError`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TraceErrorKind {
    /// The operands do not fit.
    #[error(transparent)]
    Type(#[from] TypeError),
    /// The operation has no derivative rule of the kind asked for.
    #[error("there is no {rule} rule: {hint}")]
    NoRule {
        /// `reverse` or `forward`.
        rule: &'static str,
        /// What to do instead.
        hint: &'static str,
    },
    /// A tensor of a body (scan, while, remat) is used after the body has ended.
    #[error("a tensor made inside a body is used outside of it: return it from the body")]
    Leaked,
    /// Tensors of two traces meet.
    #[error("a tensor of another trace is used here")]
    OtherTrace,
    /// A model rejects its configuration or input.
    #[error("{0}")]
    Model(String),
}

impl fmt::Display for TraceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.operation)?;
        if !self.operands.is_empty() {
            let operands: Vec<String> = self.operands.iter().map(ToString::to_string).collect();
            write!(f, "({})", operands.join(", "))?;
        }
        write!(f, ": {}", self.kind)?;
        if !self.scope.is_empty() {
            write!(f, ", in module {}", self.scope)?;
        }
        write!(f, ", at {}", self.location)
    }
}

impl std::error::Error for TraceError {}

/// A source line as messages and StableHLO locations show it.
pub(crate) fn show_location(location: &Location<'_>) -> String {
    format!("{}:{}:{}", location.file(), location.line(), location.column())
}
