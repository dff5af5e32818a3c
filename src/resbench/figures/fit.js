// What resbench.figures.theme.fitted does, in a page: the views of a figure for the width that there is.
function resbenchFit(spec, width) {
  const made = structuredClone(spec);
  const meta = made.usermeta || {};
  width = Math.min(width, meta.most || width);
  made.config = made.config || {};
  made.config.legend = { ...(made.config.legend || {}), columns: width < 640 ? 1 : width < 900 ? 2 : 4 };
  if (!made.concat) {
    return { ...made, width: width, autosize: { type: "fit-x", contains: "padding" } };
  }
  const room = meta.room || 60;
  const columns = Math.max(1, Math.min(made.columns || 2, Math.floor((width + 24) / (room + 200 + 24))));
  const each = Math.max(Math.floor((width - (columns - 1) * 24) / columns) - room, 60);
  made.columns = columns;
  for (const view of made.concat) view.width = each;
  return made;
}
