/* Functions in C for what Python does slowly. Each has a fallback in Python beside its use, which does the same.
 * The types are in speedups.pyi. */

#define PY_SSIZE_T_CLEAN
#include <Python.h>

/* Frames of clients: protocol/websocket/masks.py says what these functions do. */

/* Writes `size` bytes of `from` to `to`, without their mask. Returns a byte whose highest bit is set where one of them
 * is no ASCII. */
static unsigned char
take_mask_off(unsigned char *to, const unsigned char *from, const unsigned char *mask, Py_ssize_t size)
{
    uint32_t word;
    uint64_t words, seen = 0;
    Py_ssize_t at = 0;
    memcpy(&word, mask, 4);
    words = (uint64_t)word << 32 | word;
    for (; at + 8 <= size; at += 8) {
        uint64_t part;
        memcpy(&part, from + at, 8);
        part ^= words;
        seen |= part;
        memcpy(to + at, &part, 8);
    }
    seen |= seen >> 32;
    seen |= seen >> 16;
    seen |= seen >> 8;
    for (; at < size; at++) {
        to[at] = from[at] ^ mask[at & 3];
        seen |= to[at];
    }
    return (unsigned char)seen;
}

/* Whether these bytes are UTF-8 (RFC 3629): no longer forms than needed, no surrogates, nothing above U+10FFFF. */
static int
is_utf8(const unsigned char *text, Py_ssize_t size)
{
    Py_ssize_t at = 0;
    while (at < size) {
        unsigned char first = text[at++], least = 0x80, most = 0xBF;
        int more;
        if (first < 0x80)
            continue;
        if (first < 0xC2 || first > 0xF4)
            return 0;
        more = first < 0xE0 ? 1 : first < 0xF0 ? 2 : 3;
        if (first == 0xE0)
            least = 0xA0;
        else if (first == 0xED)
            most = 0x9F;
        else if (first == 0xF0)
            least = 0x90;
        else if (first == 0xF4)
            most = 0x8F;
        if (size - at < more)
            return 0;
        for (; more > 0; more--, at++) {
            if (text[at] < least || text[at] > most)
                return 0;
            least = 0x80;
            most = 0xBF;
        }
    }
    return 1;
}

static PyObject *
unmask(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t given)
{
    Py_buffer view;
    PyObject *payload = NULL;
    Py_ssize_t at, size;
    if (given != 3) {
        PyErr_SetString(PyExc_TypeError, "unmask() takes the data, the place of the mask and the size of the payload");
        return NULL;
    }
    at = PyLong_AsSsize_t(args[1]);
    if (at == -1 && PyErr_Occurred())
        return NULL;
    size = PyLong_AsSsize_t(args[2]);
    if (size == -1 && PyErr_Occurred())
        return NULL;
    if (PyObject_GetBuffer(args[0], &view, PyBUF_SIMPLE) < 0)
        return NULL;
    if (at < 0 || size < 0 || at > view.len - 4 || size > view.len - 4 - at) {
        PyErr_SetString(PyExc_ValueError, "the payload ends behind the data");
    } else {
        payload = PyBytes_FromStringAndSize(NULL, size);
        if (payload != NULL) {
            const unsigned char *mask = (const unsigned char *)view.buf + at;
            take_mask_off((unsigned char *)PyBytes_AS_STRING(payload), mask + 4, mask, size);
        }
    }
    PyBuffer_Release(&view);
    return payload;
}

static PyObject *
whole_text(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t given)
{
    PyObject *text;
    const unsigned char *data, *mask;
    unsigned char *to;
    Py_ssize_t size, most;
    if (given != 2 || !PyBytes_Check(args[0])) {
        PyErr_SetString(PyExc_TypeError, "whole_text() takes bytes, and the size of the largest text");
        return NULL;
    }
    most = PyLong_AsSsize_t(args[1]);
    if (most == -1 && PyErr_Occurred())
        return NULL;
    data = (const unsigned char *)PyBytes_AS_STRING(args[0]);
    size = PyBytes_GET_SIZE(args[0]) - 6;
    if (size < 0 || data[0] != 0x81)
        Py_RETURN_NONE;
    if (data[1] == 0xFE) {
        size -= 2;
        if (size < 126 || ((Py_ssize_t)data[2] << 8 | data[3]) != size)
            Py_RETURN_NONE;
        mask = data + 4;
    } else {
        if (size > 125 || data[1] != (0x80 | size))
            Py_RETURN_NONE;
        mask = data + 2;
    }
    if (size > most)
        Py_RETURN_NONE;
    text = PyBytes_FromStringAndSize(NULL, size);
    if (text == NULL)
        return NULL;
    to = (unsigned char *)PyBytes_AS_STRING(text);
    if (take_mask_off(to, mask + 4, mask, size) & 0x80 && !is_utf8(to, size)) {
        Py_DECREF(text);
        Py_RETURN_NONE;
    }
    return text;
}

static PyMethodDef speedups_methods[] = {
    {"unmask", (PyCFunction)(void (*)(void))unmask, METH_FASTCALL, "Take the mask off a payload."},
    {"whole_text", (PyCFunction)(void (*)(void))whole_text, METH_FASTCALL, "Read one whole text frame."},
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
