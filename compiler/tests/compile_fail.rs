//! Misuse that the compiler refuses; each program stands beside the message that it gets.

#[test]
fn misuse_does_not_compile() {
    trybuild::TestCases::new().compile_fail("tests/compile_fail/*.rs");
}
