//! The writer of one function's operations.

use std::{
    fmt::Write,
    mem::{replace, take},
    sync::Arc,
};

use twinflow_array::{DType, HostArray, TensorType};

use super::Products;
use crate::program::Instruction;

/// An SSA value of the function being written.
#[derive(Clone, Debug)]
pub struct Value {
    /// `%12` or `%12#1`.
    pub name: String,
    /// Its type.
    pub ty: TensorType,
}

/// The text of a function under construction. Regions are written into the same block, further indented.
#[derive(Default)]
pub struct Block {
    text: String,
    indent: usize,
    next: usize,
    products: Products,
    locations: bool,
    scope: Arc<str>,
    location: String,
    /// Functions that are called, as written.
    functions: Vec<String>,
}

/// `(tensor<2xf32>, tensor<f32>) -> tensor<2xf32>`.
pub fn signature(operands: &[&Value], results: &[TensorType]) -> String {
    let operands: Vec<String> = operands.iter().map(|value| value.ty.mlir()).collect();
    format!("({}) -> {}", operands.join(", "), result_types(results))
}

fn result_types(results: &[TensorType]) -> String {
    let types: Vec<String> = results.iter().map(TensorType::mlir).collect();
    if types.len() == 1 { types[0].clone() } else { format!("({})", types.join(", ")) }
}

impl Block {
    /// The text written so far.
    pub fn into_text(self) -> String {
        self.text
    }

    /// The functions that were made by [`Block::apart`].
    pub fn take_functions(&mut self) -> Vec<String> {
        take(&mut self.functions)
    }

    /// An empty block, with products written so; `locations` has each operation followed by where it comes from.
    pub fn new(products: Products, locations: bool) -> Self {
        Block { products, locations, ..Block::default() }
    }

    /// How products are written.
    pub fn products(&self) -> Products {
        self.products
    }

    /// Writes one instruction by `f`: every operation of it, but those of its bodies' instructions, is at
    /// `blocks/attention/dot_general` and its source line. One without a scope is in the scope of the body around it.
    pub fn at<R>(&mut self, instruction: &Instruction, f: impl FnOnce(&mut Block) -> R) -> R {
        if !self.locations {
            return f(self);
        }
        let scope = if instruction.scope.is_empty() { &self.scope } else { &instruction.scope }.clone();
        let (separator, source) = (if scope.is_empty() { "" } else { "/" }, instruction.location);
        let name = format!("{scope}{separator}{}", instruction.op.name());
        let location = format!(" loc({name:?}({:?}:{}:{}))", source.file(), source.line(), source.column());
        let outer = (replace(&mut self.scope, scope), replace(&mut self.location, location));
        let result = f(self);
        (self.scope, self.location) = outer;
        result
    }

    /// A value name that is not in use.
    pub fn fresh(&mut self) -> String {
        self.next += 1;
        format!("%{}", self.next - 1)
    }

    /// A line as it is.
    pub fn line(&mut self, text: &str) {
        let indent = self.indent * 2;
        let _ = writeln!(self.text, "{:indent$}{text}", "");
    }

    /// What `f` writes, one level further in.
    pub fn indented<R>(&mut self, f: impl FnOnce(&mut Block) -> R) -> R {
        self.indent += 1;
        let result = f(self);
        self.indent -= 1;
        result
    }

    /// `%n = text loc(..)`: an operation with one result.
    pub fn emit(&mut self, text: &str, ty: &TensorType) -> Value {
        let name = self.fresh();
        self.line(&format!("{name} = {text}{}", self.location));
        Value { name, ty: ty.clone() }
    }

    /// `%n:k = text`: an operation with any number of results.
    pub fn emit_many(&mut self, text: &str, types: &[TensorType]) -> Vec<Value> {
        let (left, values) = self.results(types);
        self.line(&format!("{left}{text}{}", self.location));
        values
    }

    /// The left side of an operation with these results, and their values.
    pub fn results(&mut self, types: &[TensorType]) -> (String, Vec<Value>) {
        let name = self.fresh();
        match types {
            [] => (String::new(), Vec::new()),
            [ty] => (format!("{name} = "), vec![Value { name, ty: ty.clone() }]),
            _ => {
                let value = |(i, ty): (usize, &TensorType)| Value { name: format!("{name}#{i}"), ty: ty.clone() };
                (format!("{name}:{} = ", types.len()), types.iter().enumerate().map(value).collect())
            }
        }
    }

    /// `stablehlo.name %x : type`, for operations that keep the type.
    pub fn unary(&mut self, op: &str, x: &Value, ty: &TensorType) -> Value {
        self.emit(&format!("{op} {} : {}", x.name, ty.mlir()), ty)
    }

    /// `stablehlo.name %a, %b : type`, for operations on equal types.
    pub fn binary(&mut self, op: &str, a: &Value, b: &Value, ty: &TensorType) -> Value {
        self.emit(&format!("{op} {}, {} : {}", a.name, b.name, ty.mlir()), ty)
    }

    /// `stablehlo.name operands attributes : (types) -> type`.
    pub fn call(&mut self, op: &str, operands: &[&Value], attributes: &str, ty: &TensorType) -> Value {
        let names: Vec<&str> = operands.iter().map(|value| value.name.as_str()).collect();
        let signature = signature(operands, std::slice::from_ref(ty));
        self.emit(&format!("{op} {}{attributes} : {signature}", names.join(", ")), ty)
    }

    /// `stablehlo.convert` to another element type (nothing if it is the same).
    pub fn convert(&mut self, x: &Value, dtype: DType) -> Value {
        if x.ty.dtype == dtype {
            return x.clone();
        }
        let ty = x.ty.with_dtype(dtype);
        self.call("stablehlo.convert", &[x], "", &ty)
    }

    /// `a direction b` on integers, a bool.
    pub fn compare(&mut self, direction: &str, a: &Value, b: &Value) -> Value {
        let ty = a.ty.with_dtype(DType::Bool);
        let types = signature(&[a, b], std::slice::from_ref(&ty));
        self.emit(&format!("stablehlo.compare {direction}, {}, {}, SIGNED : {types}", a.name, b.name), &ty)
    }

    /// A loop: `condition` and `body` write their regions for the state's values and return what these yield.
    pub fn while_loop(
        &mut self,
        initial: &[Value],
        condition: impl FnOnce(&[Value], &mut Block) -> Value,
        body: impl FnOnce(&[Value], &mut Block) -> Vec<Value>,
    ) -> Vec<Value> {
        let types: Vec<TensorType> = initial.iter().map(|value| value.ty.clone()).collect();
        let arguments: Vec<Value> = types.iter().map(|ty| Value { name: self.fresh(), ty: ty.clone() }).collect();
        let bound: Vec<String> = arguments
            .iter()
            .zip(initial)
            .map(|(argument, value)| format!("{} = {}", argument.name, value.name))
            .collect();
        let (left, results) = self.results(&types);
        let all: Vec<String> = types.iter().map(TensorType::mlir).collect();
        self.line(&format!("{left}stablehlo.while({}) : {}", bound.join(", "), all.join(", ")));
        self.line("cond {");
        self.indented(|block| {
            let holds = condition(&arguments, block);
            block.line(&format!("stablehlo.return {} : {}", holds.name, holds.ty.mlir()));
        });
        self.line("} do {");
        self.indented(|block| {
            let next = body(&arguments, block);
            let names: Vec<&str> = next.iter().map(|value| value.name.as_str()).collect();
            block.line(&format!("stablehlo.return {} : {}", names.join(", "), all.join(", ")));
        });
        self.line(&format!("}}{}", self.location));
        results
    }

    /// An operation with one region, in MLIR's generic form: `body` writes it for its arguments and returns its result.
    pub fn with_region(
        &mut self,
        op: &str,
        operands: &[&Value],
        attributes: &str,
        arguments: &[TensorType],
        body: impl FnOnce(&[Value], &mut Block) -> Value,
        types: &[TensorType],
    ) -> Vec<Value> {
        let (left, results) = self.results(types);
        let names: Vec<&str> = operands.iter().map(|value| value.name.as_str()).collect();
        self.line(&format!("{left}\"{op}\"({}) <{{{attributes}}}> ({{", names.join(", ")));
        let (arguments, declared) = self.arguments(arguments.iter());
        self.line(&format!("^bb0({declared}):"));
        self.indented(|block| {
            let result = body(&arguments, block);
            block.line(&format!("stablehlo.return {} : {}", result.name, result.ty.mlir()));
        });
        self.line(&format!("}}) : {}{}", signature(operands, types), self.location));
        results
    }

    /// What `body` writes for its arguments, as a function of its own that XLA does not take apart: no loop outside makes
    /// its result's elements anew, as it does with expressions of elements that several loops read. (Barriers do not do
    /// this on CPUs: they go before loops are joined.)
    pub fn apart(
        &mut self,
        operands: &[&Value],
        ty: &TensorType,
        body: impl FnOnce(&[Value], &mut Block) -> Value,
    ) -> Value {
        let name = format!("@apart_{}", self.functions.len());
        let (arguments, declared) = self.arguments(operands.iter().map(|value| &value.ty));
        let (outer, indent) = (take(&mut self.text), replace(&mut self.indent, 1));
        self.line(&format!("func.func private {name}({declared}) -> {} {{", ty.mlir()));
        self.indented(|block| {
            let result = body(&arguments, block);
            block.line(&format!("return {} : {}", result.name, result.ty.mlir()));
        });
        self.line("}");
        self.indent = indent;
        let function = replace(&mut self.text, outer);
        self.functions.push(function);
        let names: Vec<&str> = operands.iter().map(|value| value.name.as_str()).collect();
        let attributes = "{mhlo.frontend_attributes = {inlineable = \"false\"}}";
        let types = signature(operands, std::slice::from_ref(ty));
        self.emit(&format!("func.call {name}({}) {attributes} : {types}", names.join(", ")), ty)
    }

    /// Values for these types, and how the head of a function or region declares them.
    fn arguments<'a>(&mut self, types: impl Iterator<Item = &'a TensorType>) -> (Vec<Value>, String) {
        let arguments: Vec<Value> = types.map(|ty| Value { name: self.fresh(), ty: ty.clone() }).collect();
        let declared = arguments.iter().map(|value| format!("{}: {}", value.name, value.ty.mlir()));
        let declared = declared.collect::<Vec<_>>().join(", ");
        (arguments, declared)
    }

    /// [`Block::with_region`] with one result, whose region adds two scalars.
    pub fn with_sum(&mut self, op: &str, operands: &[&Value], attributes: &str, ty: &TensorType) -> Value {
        let scalar = ty.with_shape([]);
        let add =
            |terms: &[Value], block: &mut Block| block.binary("stablehlo.add", &terms[0], &terms[1], &terms[0].ty);
        let arguments = [scalar.clone(), scalar];
        self.with_region(op, operands, attributes, &arguments, add, std::slice::from_ref(ty)).swap_remove(0)
    }

    /// A constant of the same value everywhere.
    pub fn splat(&mut self, ty: &TensorType, value: f64) -> Value {
        let text = format!("stablehlo.constant dense<{}> : {}", literal(ty.dtype, value), ty.mlir());
        self.emit(&text, ty)
    }

    /// A constant array.
    pub fn constant(&mut self, array: &HostArray) -> Value {
        let ty = array.ty();
        let exact_in_f64 = !matches!(ty.dtype, DType::I64 | DType::U64);
        if ty.shape.elements() == 1 && exact_in_f64 {
            return self.splat(ty, array.to_f64()[0]);
        }
        // MLIR packs i1 in bits; bytes are simpler, and XLA folds the conversion.
        let stored = if ty.dtype == DType::Bool { ty.with_dtype(DType::U8) } else { ty.clone() };
        let mut hex = String::with_capacity(2 * array.bytes().len());
        array.bytes().iter().for_each(|byte| write!(hex, "{byte:02X}").expect("writing to a String"));
        let value = self.emit(&format!("stablehlo.constant dense<\"0x{hex}\"> : {}", stored.mlir()), &stored);
        self.convert(&value, ty.dtype)
    }
}

/// A scalar in MLIR's syntax.
fn literal(dtype: DType, value: f64) -> String {
    match dtype {
        DType::Bool => (value != 0.0).to_string(),
        _ if !dtype.is_float() => format!("{value:.0}"),
        _ if !value.is_finite() => non_finite(dtype, value),
        DType::F32 => scientific(format!("{:e}", value as f32)),
        _ => scientific(format!("{value:e}")),
    }
}

/// MLIR wants a point in every float: `1e-5` becomes `1.0e-5`.
fn scientific(text: String) -> String {
    if text.contains('.') { text } else { text.replacen('e', ".0e", 1) }
}

/// Infinities and NaN are written by their bits.
fn non_finite(dtype: DType, value: f64) -> String {
    let array = HostArray::from_f64(TensorType::scalar(dtype), &[value]).expect("one value fills a scalar");
    let hex: String = array.bytes().iter().rev().map(|byte| format!("{byte:02X}")).collect();
    format!("0x{hex}")
}
