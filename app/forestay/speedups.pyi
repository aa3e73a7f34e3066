# Types of speedups.c. Where the wheel is plain, there is no such module.
