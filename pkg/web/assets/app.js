// The pages work without this: it adds relative times that move, previews without a reload, upload progress, buttons that copy, live events and blocks that stay current.
import "./times.js";
import "./forms.js";
import "./upload.js";
import "./events.js";
import "./copy.js";
import "./refresh.js";
