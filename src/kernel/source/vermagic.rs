//! A version magic that is given instead of a kernel.

use crate::error::Result;
use crate::kernel::facts::{Fact, Facts};
use crate::kernel::lookup::KernelQuestion;
use crate::kernel::merge::FactSink;
use crate::kernel::origin::Origin;
use crate::kernel::source::KernelSource;
use crate::vermagic::Vermagic;

/// A version magic that is given instead of a kernel.
pub(in crate::kernel) struct GivenVermagic<'n>(pub(in crate::kernel) &'n Vermagic);

impl KernelSource for GivenVermagic<'_> {
    fn add_facts(&self, facts: &mut FactSink, _: &KernelQuestion<'_>) -> Result<()> {
        let vermagic = Fact { value: self.0.clone(), source: Origin::Given };
        facts.add(&Origin::Given, Facts { vermagic: Some(vermagic), ..Facts::default() })
    }
}
