/* Functions in C for what Python does slowly. Each has a fallback in Python beside its use, which does the same.
 * The types are in speedups.pyi. */

#define PY_SSIZE_T_CLEAN
#include <Python.h>

static PyMethodDef speedups_methods[] = {
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef speedups_module = {
    PyModuleDef_HEAD_INIT,
    .m_name = "forestay.speedups",
    .m_doc = "Functions in C for what Python does slowly.",
    .m_size = 0,
    .m_methods = speedups_methods,
};

PyMODINIT_FUNC
PyInit_speedups(void)
{
    return PyModuleDef_Init(&speedups_module);
}
