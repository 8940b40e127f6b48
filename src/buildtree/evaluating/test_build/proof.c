// SPDX-License-Identifier: GPL-2.0
/* The smallest module that shows which version magic a build tree gives: it imports one symbol, and does nothing. */
#include <linux/init.h>
#include <linux/kernel.h>
#include <linux/module.h>

static int __init proof_init(void)
{
	printk(KERN_INFO "kmodlab: proof loaded\n");
	return 0;
}

static void __exit proof_exit(void)
{
}

module_init(proof_init);
module_exit(proof_exit);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("shows which version magic a build tree gives");
