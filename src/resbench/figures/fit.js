// What resbench.figures.theme.fitted does, in a page: the views of a figure for the width that there is.
function resbenchFit(spec, width) {
  const made = structuredClone(spec);
  const meta = made.usermeta || {};
  width = Math.min(width, meta.most || width);
  const narrow = width < 640;
  made.config = made.config || {};
  made.config.legend = { ...(made.config.legend || {}), columns: narrow ? 1 : width < 900 ? 2 : 4 };
  if (!made.concat) {
    return { ...made, width: width, autosize: { type: "fit-x", contains: "padding" } };
  }
  const columns = narrow ? 1 : made.columns || 2;
  const room = meta.room || 60;
  const each = Math.max(Math.floor((width - (columns - 1) * 24) / columns) - room, 60);
  made.columns = columns;
  for (const view of made.concat) view.width = each;
  return made;
}
