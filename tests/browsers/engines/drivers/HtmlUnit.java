// Drives HtmlUnit as Internet Explorer 8: lines of JSON from stdin, one page at a time; see ../lines.py.
// Each page has a client, and so cookies and a cache, of its own. No pictures.

import com.gargoylesoftware.htmlunit.BrowserVersion;
import com.gargoylesoftware.htmlunit.Page;
import com.gargoylesoftware.htmlunit.ScriptException;
import com.gargoylesoftware.htmlunit.WebClient;
import com.gargoylesoftware.htmlunit.html.HtmlPage;
import com.gargoylesoftware.htmlunit.javascript.JavaScriptErrorListener;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.net.MalformedURLException;
import java.net.URL;
import java.util.HashMap;
import java.util.Map;
import org.json.JSONObject;
import org.openqa.selenium.internal.BuildInfo;

public class HtmlUnit {
    private static final PrintStream OUT = System.out;
    private static final Map<Integer, WebClient> CLIENTS = new HashMap<Integer, WebClient>();

    private static synchronized void say(JSONObject line) {
        OUT.println(line);
        OUT.flush();
    }

    private static void error(int page, String text) {
        try {
            say(new JSONObject().put("page", page).put("kind", "error").put("text", text));
        } catch (Exception impossible) {
            throw new RuntimeException(impossible);
        }
    }

    private static WebClient client(final int page) {
        WebClient client = new WebClient(BrowserVersion.INTERNET_EXPLORER_8);
        client.getOptions().setThrowExceptionOnScriptError(false);
        client.getOptions().setThrowExceptionOnFailingStatusCode(false);
        client.getOptions().setTimeout(60000);
        client.setJavaScriptErrorListener(new JavaScriptErrorListener() {
            public void scriptException(HtmlPage where, ScriptException thrown) {
                error(page, thrown.getMessage() + " (" + thrown.getFailingLineNumber() + ")");
            }

            public void timeoutError(HtmlPage where, long allowed, long executed) {
                error(page, "a script ran for too long");
            }

            public void malformedScriptURL(HtmlPage where, String url, MalformedURLException thrown) {
                error(page, "no URL of a script: " + url);
            }

            public void loadScriptError(HtmlPage where, URL url, Exception thrown) {
                error(page, "the script " + url + " cannot be loaded: " + thrown);
            }
        });
        return client;
    }

    private static Object act(JSONObject command) throws Exception {
        final int page = command.getInt("page");
        String what = command.getString("do");
        if (what.equals("open")) {
            final WebClient client = client(page);
            CLIENTS.put(page, client);
            final String url = command.getString("url");
            Thread thread = new Thread() { // loading runs the page's scripts, for as long as they take
                public void run() {
                    try {
                        client.getPage(url);
                    } catch (Exception thrown) {
                        error(page, String.valueOf(thrown));
                    }
                }
            };
            thread.setDaemon(true);
            thread.start();
            return null;
        }
        if (what.equals("close")) {
            final WebClient client = CLIENTS.remove(page);
            Thread thread = new Thread() { // it waits for the page's scripts
                public void run() {
                    client.closeAllWindows();
                }
            };
            thread.setDaemon(true);
            thread.start();
            return null;
        }
        if (what.equals("evaluate")) {
            Page open = CLIENTS.get(page).getCurrentWindow().getEnclosedPage();
            String script = "(function(){var v=eval(" + JSONObject.quote(command.getString("script")) + ");"
                    + "return typeof v==='undefined'?'null':JSON.stringify(v)})()";
            return String.valueOf(((HtmlPage) open).executeJavaScript(script).getJavaScriptResult());
        }
        throw new IllegalArgumentException("cannot do " + what);
    }

    public static void main(String[] arguments) throws Exception {
        java.util.logging.LogManager.getLogManager().reset();
        System.setProperty("org.apache.commons.logging.Log", "org.apache.commons.logging.impl.NoOpLog");
        say(new JSONObject().put("version", "HtmlUnit of " + new BuildInfo().getReleaseLabel()
                + " as " + BrowserVersion.INTERNET_EXPLORER_8.getNickname()));
        BufferedReader lines = new BufferedReader(new InputStreamReader(System.in, "UTF-8"));
        String line;
        while ((line = lines.readLine()) != null) {
            JSONObject command = new JSONObject(line);
            JSONObject answer = new JSONObject().put("id", command.getInt("id"));
            try {
                answer.put("result", act(command));
            } catch (Throwable thrown) {
                answer.put("error", String.valueOf(thrown));
            }
            say(answer);
        }
        System.exit(0);
    }
}
