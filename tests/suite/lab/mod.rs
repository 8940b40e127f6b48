//! The lab, without a virtual machine: what it reads and what it decides.

mod console;
