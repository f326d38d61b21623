// The pages work without this: it adds relative times that move, previews without a reload, upload progress, buttons that copy and live events.
import "./times.js";
import "./forms.js";
import "./upload.js";
import "./events.js";
import "./copy.js";
