"""Where examples come from: generated demo sets, tensorflow-datasets names, the user's own files."""
