<?xml version="1.0" encoding="utf-8"?>
<!DOCTYPE TS>
<TS version="2.1" language="de_DE" sourcelanguage="en">
<context>
    <name>Announcer</name>
    <message>
        <source>The last session ended unexpectedly.</source>
        <translation>Die letzte Sitzung endete unerwartet.</translation>
    </message>
    <message>
        <source>Start the program again; the log says more.</source>
        <translation>Starte das Programm neu; das Protokoll sagt mehr.</translation>
    </message>
    <message>
        <source>Finished</source>
        <translation>Fertig</translation>
    </message>
    <message>
        <source>Quit</source>
        <translation>Beenden</translation>
    </message>
    <message>
        <source>The last reply is there as far as it came.</source>
        <translation>Die letzte Antwort ist da, so weit sie kam.</translation>
    </message>
    <message>
        <source>An unfinished picture can be started again.</source>
        <translation>Ein unfertiges Bild kann neu begonnen werden.</translation>
    </message>
    <message>
        <source>A server that was left over was ended.</source>
        <translation>Ein übrig gebliebener Server wurde beendet.</translation>
    </message>
    <message>
        <source>{count} pictures are ready.</source>
        <translation>{count} Bilder sind fertig.</translation>
    </message>
    <message>
        <source>The picture is ready.</source>
        <translation>Das Bild ist fertig.</translation>
    </message>
    <message>
        <source>Load {name} again</source>
        <translation>{name} wieder laden</translation>
    </message>
    <message>
        <source>Failed</source>
        <translation>Fehlgeschlagen</translation>
    </message>
</context>
<context>
    <name>BuildRow</name>
    <message>
        <source>Testing: the engine does real work with a tiny model</source>
        <translation>Test: die Engine leistet echte Arbeit mit einem winzigen Modell</translation>
    </message>
    <message>
        <source>Devices the engine itself lists</source>
        <translation>Geräte, die die Engine selbst nennt</translation>
    </message>
    <message>
        <source>Use a binary of mine…</source>
        <translation>Eigenes Programm verwenden…</translation>
    </message>
    <message>
        <source>No test yet</source>
        <translation>Noch kein Test</translation>
    </message>
    <message>
        <source>Test again</source>
        <translation>Neu testen</translation>
    </message>
    <message>
        <source>Test</source>
        <translation>Testen</translation>
    </message>
    <message>
        <source>Use this build</source>
        <translation>Diese Version verwenden</translation>
    </message>
    <message>
        <source>in use</source>
        <translation>in Gebrauch</translation>
    </message>
    <message>
        <source>available</source>
        <translation>verfügbar</translation>
    </message>
    <message>
        <source>refused</source>
        <translation>abgelehnt</translation>
    </message>
    <message>
        <source>missing</source>
        <translation>fehlt</translation>
    </message>
    <message>
        <source>not tested</source>
        <translation>nicht getestet</translation>
    </message>
    <message>
        <source>{passed} of {count} passed</source>
        <translation>{passed} von {count} bestanden</translation>
    </message>
    <message>
        <source>More for {engine}</source>
        <translation>Mehr zu {engine}</translation>
    </message>
    <message>
        <source>Switch to embedded</source>
        <translation>Zur eingebauten wechseln</translation>
    </message>
    <message>
        <source>embedded</source>
        <translation>eingebaut</translation>
    </message>
    <message>
        <source>binary of yours</source>
        <translation>eigenes Programm</translation>
    </message>
    <message>
        <source>Choose {program}</source>
        <translation>{program} wählen</translation>
    </message>
</context>
<context>
    <name>Canvas</name>
    <message>
        <source>Picture</source>
        <translation>Bild</translation>
    </message>
</context>
<context>
    <name>ChartsPanel</name>
    <message>
        <source>other programs</source>
        <translation>andere Programme</translation>
    </message>
    <message>
        <source>Time shown in the charts</source>
        <translation>Gezeigte Zeit in den Kurven</translation>
    </message>
    <message>
        <source>Memory</source>
        <translation>Speicher</translation>
    </message>
    <message>
        <source>Processor load</source>
        <translation>Prozessorlast</translation>
    </message>
    <message>
        <source>Live</source>
        <translation>Jetzt</translation>
    </message>
    <message>
        <source>Graphics memory</source>
        <translation>Grafikspeicher</translation>
    </message>
    <message>
        <source>Graphics load</source>
        <translation>Grafiklast</translation>
    </message>
    <message>
        <source>5 min</source>
        <translation>5 Min.</translation>
    </message>
    <message>
        <source>1 h</source>
        <translation>1 Std.</translation>
    </message>
    <message>
        <source>24 h</source>
        <translation>24 Std.</translation>
    </message>
    <message>
        <source>not answering</source>
        <translation>antwortet nicht</translation>
    </message>
    <message>
        <source>images</source>
        <translation>Bilder</translation>
    </message>
    <message>
        <source>ours</source>
        <translation>unsere</translation>
    </message>
</context>
<context>
    <name>ChatPage</name>
    <message>
        <source>What would you like to know?</source>
        <translation>Was möchtest du wissen?</translation>
    </message>
    <message>
        <source>Everything stays on this computer. Type below; the model is loaded when you send.</source>
        <translation>Alles bleibt auf diesem Computer. Schreib unten; das Modell wird beim Senden geladen.</translation>
    </message>
    <message>
        <source>No language model yet</source>
        <translation>Noch kein Sprachmodell</translation>
    </message>
    <message>
        <source>Import a GGUF file or download one, then come back.</source>
        <translation>Importiere eine GGUF-Datei oder lade eine herunter und komm dann wieder.</translation>
    </message>
    <message>
        <source>Undo</source>
        <translation>Rückgängig</translation>
    </message>
    <message>
        <source>Load a model</source>
        <translation>Ein Modell laden</translation>
    </message>
    <message>
        <source>The model made room for a picture</source>
        <translation>Das Modell hat einem Bild Platz gemacht</translation>
    </message>
    <message>
        <source>Go to Models</source>
        <translation>Zu den Modellen</translation>
    </message>
    <message>
        <source>The model is loading; what you send waits for it</source>
        <translation>Das Modell lädt; was du sendest, wartet darauf</translation>
    </message>
    <message>
        <source>The model crashed.</source>
        <translation>Das Modell ist abgestürzt.</translation>
    </message>
    <message>
        <source>Load again</source>
        <translation>Neu laden</translation>
    </message>
    <message>
        <source>“{title}” was deleted.</source>
        <translation>„{title}“ wurde gelöscht.</translation>
    </message>
    <message>
        <source>{hint}, back in about {time}</source>
        <translation>{hint}, zurück in etwa {time}</translation>
    </message>
    <message>
        <source>{n} waiting</source>
        <translation>{n} warten</translation>
    </message>
</context>
<context>
    <name>CloseQuestion</name>
    <message>
        <source>Remember my answer</source>
        <translation>Antwort merken</translation>
    </message>
    <message>
        <source>Keep running in the tray?</source>
        <translation>Im Infobereich weiterlaufen?</translation>
    </message>
    <message>
        <source>Models stay loaded and pictures are finished while the window is closed. You can change this in Settings.</source>
        <translation>Modelle bleiben geladen und Bilder werden fertig, während das Fenster zu ist. Das lässt sich in den Einstellungen ändern.</translation>
    </message>
    <message>
        <source>Keep running</source>
        <translation>Weiterlaufen</translation>
    </message>
    <message>
        <source>Quit</source>
        <translation>Beenden</translation>
    </message>
</context>
<context>
    <name>CodeBlock</name>
    <message>
        <source>Copy</source>
        <translation>Kopieren</translation>
    </message>
    <message>
        <source>Copy code</source>
        <translation>Code kopieren</translation>
    </message>
    <message>
        <source>Copied</source>
        <translation>Kopiert</translation>
    </message>
    <message>
        <source>text</source>
        <translation>Text</translation>
    </message>
</context>
<context>
    <name>Composer</name>
    <message>
        <source>Attach a picture or a text file</source>
        <translation>Ein Bild oder eine Textdatei anhängen</translation>
    </message>
    <message>
        <source>Send</source>
        <translation>Senden</translation>
    </message>
    <message>
        <source>Stop</source>
        <translation>Stoppen</translation>
    </message>
    <message>
        <source>Attach</source>
        <translation>Anhängen</translation>
    </message>
    <message>
        <source>Pictures and texts (*.png *.jpg *.jpeg *.bmp *.gif *.txt *.md *.py *.json);;All files (*)</source>
        <translation>Bilder und Texte (*.png *.jpg *.jpeg *.bmp *.gif *.txt *.md *.py *.json);;Alle Dateien (*)</translation>
    </message>
    <message>
        <source>Ask anything. Enter sends, Shift+Enter breaks the line.</source>
        <translation>Frag, was du willst. Enter sendet, Umschalt+Enter bricht die Zeile um.</translation>
    </message>
    <message>
        <source>Attached: {names}</source>
        <translation>Angehängt: {names}</translation>
    </message>
    <message>
        <source>{name} is too large to paste.</source>
        <translation>{name} ist zu groß zum Einfügen.</translation>
    </message>
    <message>
        <source>{name} is no text file.</source>
        <translation>{name} ist keine Textdatei.</translation>
    </message>
</context>
<context>
    <name>ContextGauge</name>
    <message>
        <source>{used} of {total} tokens</source>
        <translation>{used} von {total} Token</translation>
    </message>
    <message>
        <source>Context: {text}</source>
        <translation>Kontext: {text}</translation>
    </message>
    <message>
        <source>From the cache {cached}, read {fresh}, written {written}</source>
        <translation>Aus dem Cache {cached}, gelesen {fresh}, geschrieben {written}</translation>
    </message>
    <message>
        <source>first token {time}</source>
        <translation>erstes Token {time}</translation>
    </message>
    <message>
        <source>prompt {rate}</source>
        <translation>Prompt {rate}</translation>
    </message>
</context>
<context>
    <name>ConversationList</name>
    <message>
        <source>New chat</source>
        <translation>Neues Gespräch</translation>
    </message>
    <message>
        <source>New chat (Ctrl+N)</source>
        <translation>Neues Gespräch (Strg+N)</translation>
    </message>
    <message>
        <source>Search all chats</source>
        <translation>Alle Gespräche durchsuchen</translation>
    </message>
    <message>
        <source>Conversations</source>
        <translation>Gespräche</translation>
    </message>
    <message>
        <source>No chats yet</source>
        <translation>Noch keine Gespräche</translation>
    </message>
    <message>
        <source>What you ask is kept here.</source>
        <translation>Was du fragst, wird hier aufbewahrt.</translation>
    </message>
    <message>
        <source>Nothing found</source>
        <translation>Nichts gefunden</translation>
    </message>
    <message>
        <source>Try another word.</source>
        <translation>Versuche ein anderes Wort.</translation>
    </message>
    <message>
        <source>Rename</source>
        <translation>Umbenennen</translation>
    </message>
    <message>
        <source>Delete</source>
        <translation>Löschen</translation>
    </message>
    <message>
        <source>Rename chat</source>
        <translation>Gespräch umbenennen</translation>
    </message>
    <message>
        <source>Title</source>
        <translation>Titel</translation>
    </message>
    <message>
        <source>Unpin</source>
        <translation>Lösen</translation>
    </message>
    <message>
        <source>Pin</source>
        <translation>Anheften</translation>
    </message>
</context>
<context>
    <name>ConversationModel</name>
    <message>
        <source>New chat</source>
        <translation>Neues Gespräch</translation>
    </message>
</context>
<context>
    <name>DetailPane</name>
    <message>
        <source>It comes with the program and stays</source>
        <translation>Es gehört zum Programm und bleibt</translation>
    </message>
    <message>
        <source>Details of the model</source>
        <translation>Einzelheiten des Modells</translation>
    </message>
    <message>
        <source>Metadata</source>
        <translation>Metadaten</translation>
    </message>
    <message>
        <source>New name</source>
        <translation>Neuer Name</translation>
    </message>
    <message>
        <source>Rename</source>
        <translation>Umbenennen</translation>
    </message>
    <message>
        <source>Verify</source>
        <translation>Prüfen</translation>
    </message>
    <message>
        <source>Read every byte and compare with the digest it came with</source>
        <translation>Jedes Byte lesen und mit der mitgelieferten Prüfsumme vergleichen</translation>
    </message>
    <message>
        <source>Show in folder</source>
        <translation>Im Ordner zeigen</translation>
    </message>
    <message>
        <source>Remove</source>
        <translation>Entfernen</translation>
    </message>
    <message>
        <source>thinks before it answers</source>
        <translation>denkt vor der Antwort</translation>
    </message>
    <message>
        <source>uses tools</source>
        <translation>benutzt Werkzeuge</translation>
    </message>
    <message>
        <source>sees pictures</source>
        <translation>sieht Bilder</translation>
    </message>
    <message>
        <source>embeds text</source>
        <translation>bettet Text ein</translation>
    </message>
    <message>
        <source>writes code</source>
        <translation>schreibt Code</translation>
    </message>
    <message>
        <source>comes with the program</source>
        <translation>gehört zum Programm</translation>
    </message>
    <message>
        <source>imported in place</source>
        <translation>an Ort und Stelle importiert</translation>
    </message>
    <message>
        <source>downloaded</source>
        <translation>heruntergeladen</translation>
    </message>
    <message>
        <source>downloaded from Hugging Face</source>
        <translation>von Hugging Face geladen</translation>
    </message>
    <message>
        <source>Memory</source>
        <translation>Speicher</translation>
    </message>
    <message>
        <source>About</source>
        <translation>Über das Modell</translation>
    </message>
    <message>
        <source>Files</source>
        <translation>Dateien</translation>
    </message>
    <message>
        <source>Language model</source>
        <translation>Sprachmodell</translation>
    </message>
    <message>
        <source>Image model</source>
        <translation>Bildmodell</translation>
    </message>
    <message>
        <source>Chat with this</source>
        <translation>Damit chatten</translation>
    </message>
    <message>
        <source>Use in the studio</source>
        <translation>Im Studio verwenden</translation>
    </message>
    <message>
        <source>The file is not where it was.</source>
        <translation>Die Datei ist nicht mehr, wo sie war.</translation>
    </message>
    <message>
        <source>Connect its disk, import it again from its new place, or remove the entry.</source>
        <translation>Verbinde das Laufwerk, importiere es vom neuen Ort oder entferne den Eintrag.</translation>
    </message>
    <message>
        <source>Family</source>
        <translation>Familie</translation>
    </message>
    <message>
        <source>Architecture</source>
        <translation>Architektur</translation>
    </message>
    <message>
        <source>Parameters</source>
        <translation>Parameter</translation>
    </message>
    <message>
        <source>Quantization</source>
        <translation>Quantisierung</translation>
    </message>
    <message>
        <source>Context</source>
        <translation>Kontext</translation>
    </message>
    <message>
        <source>Abilities</source>
        <translation>Fähigkeiten</translation>
    </message>
    <message>
        <source>Licence</source>
        <translation>Lizenz</translation>
    </message>
    <message>
        <source>Size</source>
        <translation>Größe</translation>
    </message>
    <message>
        <source>Source</source>
        <translation>Quelle</translation>
    </message>
    <message>
        <source>From</source>
        <translation>Herkunft</translation>
    </message>
    <message>
        <source>Last used</source>
        <translation>Zuletzt benutzt</translation>
    </message>
    <message>
        <source>not stated in the file</source>
        <translation>in der Datei nicht genannt</translation>
    </message>
    <message>
        <source>never</source>
        <translation>nie</translation>
    </message>
</context>
<context>
    <name>DiscoverView</name>
    <message>
        <source>Searching model hubs is not part of this version. Open a hub in your browser, copy the address of a file, and paste it above. Downloads go on after an interruption and are checked before they are listed.</source>
        <translation>Die Suche in Modellsammlungen gehört noch nicht zu dieser Version. Öffne eine im Browser, kopiere die Adresse einer Datei und füge sie oben ein. Downloads gehen nach einer Unterbrechung weiter und werden geprüft, bevor sie in der Liste stehen.</translation>
    </message>
    <message>
        <source>Download by address</source>
        <translation>Über die Adresse herunterladen</translation>
    </message>
    <message>
        <source>Download</source>
        <translation>Herunterladen</translation>
    </message>
    <message>
        <source>Address</source>
        <translation>Adresse</translation>
    </message>
    <message>
        <source>Of the file itself: a .gguf or .safetensors file.</source>
        <translation>Der Datei selbst: eine .gguf- oder .safetensors-Datei.</translation>
    </message>
    <message>
        <source>Name</source>
        <translation>Name</translation>
    </message>
    <message>
        <source>How it is listed.</source>
        <translation>So steht es in der Liste.</translation>
    </message>
    <message>
        <source>Kind of model</source>
        <translation>Art des Modells</translation>
    </message>
    <message>
        <source>64 hexadecimal digits</source>
        <translation>64 hexadezimale Ziffern</translation>
    </message>
    <message>
        <source>SHA-256 (optional)</source>
        <translation>SHA-256 (freiwillig)</translation>
    </message>
    <message>
        <source>With it every byte is checked while it arrives.</source>
        <translation>Damit wird jedes Byte beim Ankommen geprüft.</translation>
    </message>
    <message>
        <source>Only complete http and https addresses can be downloaded.</source>
        <translation>Nur vollständige http- und https-Adressen können geladen werden.</translation>
    </message>
    <message>
        <source>Pickle files can run foreign code. Look for a .safetensors or .gguf file instead.</source>
        <translation>Pickle-Dateien können fremden Code ausführen. Suche stattdessen eine .safetensors- oder .gguf-Datei.</translation>
    </message>
    <message>
        <source>This is the page about the file. Use its download address, with /resolve/ instead of /blob/.</source>
        <translation>Das ist die Seite über die Datei. Nimm ihre Download-Adresse, mit /resolve/ statt /blob/.</translation>
    </message>
    <message>
        <source>Kind</source>
        <translation>Art</translation>
    </message>
    <message>
        <source>Language model</source>
        <translation>Sprachmodell</translation>
    </message>
    <message>
        <source>Image model</source>
        <translation>Bildmodell</translation>
    </message>
    <message>
        <source>{count} characters; a SHA-256 has 64 hexadecimal digits.</source>
        <translation>{count} Zeichen; eine SHA-256 hat 64 hexadezimale Ziffern.</translation>
    </message>
</context>
<context>
    <name>DownloadsView</name>
    <message>
        <source>No downloads</source>
        <translation>Keine Downloads</translation>
    </message>
    <message>
        <source>What you download appears here with its speed, and goes on after an interruption.</source>
        <translation>Was du lädst, erscheint hier mit seinem Tempo und geht nach einer Unterbrechung weiter.</translation>
    </message>
    <message>
        <source>Downloads</source>
        <translation>Downloads</translation>
    </message>
    <message>
        <source>Download a model</source>
        <translation>Ein Modell herunterladen</translation>
    </message>
</context>
<context>
    <name>EditBox</name>
    <message>
        <source>Edit message</source>
        <translation>Nachricht ändern</translation>
    </message>
    <message>
        <source>Cancel</source>
        <translation>Abbrechen</translation>
    </message>
    <message>
        <source>Send again</source>
        <translation>Noch einmal senden</translation>
    </message>
</context>
<context>
    <name>EnginesCard</name>
    <message>
        <source>Engines</source>
        <translation>Engines</translation>
    </message>
    <message>
        <source>Looking for engines</source>
        <translation>Engines werden gesucht</translation>
    </message>
    <message>
        <source>No engine was found. Install the extra packages, or use a binary of yours.</source>
        <translation>Keine Engine gefunden. Installiere die Zusatzpakete oder nimm ein eigenes Programm.</translation>
    </message>
</context>
<context>
    <name>EventModel</name>
    <message>
        <source>Time</source>
        <translation>Zeit</translation>
    </message>
    <message>
        <source>Kind</source>
        <translation>Art</translation>
    </message>
    <message>
        <source>What happened</source>
        <translation>Was geschah</translation>
    </message>
    <message>
        <source>started</source>
        <translation>gestartet</translation>
    </message>
    <message>
        <source>stopped</source>
        <translation>gestoppt</translation>
    </message>
    <message>
        <source>crashed</source>
        <translation>abgestürzt</translation>
    </message>
    <message>
        <source>stepped aside</source>
        <translation>machte Platz</translation>
    </message>
    <message>
        <source>came back</source>
        <translation>kam zurück</translation>
    </message>
    <message>
        <source>image started</source>
        <translation>Bild begonnen</translation>
    </message>
    <message>
        <source>image finished</source>
        <translation>Bild fertig</translation>
    </message>
    <message>
        <source>out of memory</source>
        <translation>Speicher voll</translation>
    </message>
</context>
<context>
    <name>EventsCard</name>
    <message>
        <source>Events</source>
        <translation>Ereignisse</translation>
    </message>
    <message>
        <source>Filter events</source>
        <translation>Ereignisse filtern</translation>
    </message>
    <message>
        <source>Export the events</source>
        <translation>Ereignisse exportieren</translation>
    </message>
    <message>
        <source>Nothing happened yet</source>
        <translation>Noch ist nichts geschehen</translation>
    </message>
    <message>
        <source>Starts, crashes and hand-offs appear here.</source>
        <translation>Starts, Abstürze und Übergaben erscheinen hier.</translation>
    </message>
    <message>
        <source>Tables (*.tsv *.txt)</source>
        <translation>Tabellen (*.tsv *.txt)</translation>
    </message>
    <message>
        <source>Choose another folder.</source>
        <translation>Wähle einen anderen Ordner.</translation>
    </message>
    <message>
        <source>No event matches the filter</source>
        <translation>Kein Ereignis passt zum Filter</translation>
    </message>
    <message>
        <source>{path} could not be written: {why}.</source>
        <translation>{path} konnte nicht geschrieben werden: {why}.</translation>
    </message>
    <message>
        <source>Saved as {path}</source>
        <translation>Gespeichert als {path}</translation>
    </message>
</context>
<context>
    <name>FailureWindow</name>
    <message>
        <source>GenAI Desktop cannot start</source>
        <translation>GenAI Desktop kann nicht starten</translation>
    </message>
    <message>
        <source>Quit</source>
        <translation>Beenden</translation>
    </message>
</context>
<context>
    <name>FitPanel</name>
    <message>
        <source>Reading the header</source>
        <translation>Der Dateikopf wird gelesen</translation>
    </message>
    <message>
        <source>Context in tokens</source>
        <translation>Kontext in Token</translation>
    </message>
    <message>
        <source>KV cache type</source>
        <translation>Art des KV-Caches</translation>
    </message>
    <message>
        <source>Context</source>
        <translation>Kontext</translation>
    </message>
    <message>
        <source>automatic</source>
        <translation>automatisch</translation>
    </message>
    <message>
        <source>{amount} of free memory</source>
        <translation>{amount} freiem Speicher</translation>
    </message>
    <message>
        <source>{count} tokens</source>
        <translation>{count} Token</translation>
    </message>
    <message>
        <source>automatic: {count} tokens</source>
        <translation>automatisch: {count} Token</translation>
    </message>
</context>
<context>
    <name>GalleryView</name>
    <message>
        <source>Prompt, model or seed</source>
        <translation>Prompt, Modell oder Seed</translation>
    </message>
    <message>
        <source>Search the gallery</source>
        <translation>Die Galerie durchsuchen</translation>
    </message>
    <message>
        <source>Gallery</source>
        <translation>Galerie</translation>
    </message>
    <message>
        <source>No pictures yet</source>
        <translation>Noch keine Bilder</translation>
    </message>
    <message>
        <source>They are kept here.</source>
        <translation>Sie werden hier aufbewahrt.</translation>
    </message>
    <message>
        <source>Nothing found</source>
        <translation>Nichts gefunden</translation>
    </message>
    <message>
        <source>Use these settings</source>
        <translation>Diese Einstellungen verwenden</translation>
    </message>
    <message>
        <source>Copy picture</source>
        <translation>Bild kopieren</translation>
    </message>
    <message>
        <source>Save as …</source>
        <translation>Speichern unter …</translation>
    </message>
    <message>
        <source>Open folder</source>
        <translation>Ordner öffnen</translation>
    </message>
    <message>
        <source>Delete</source>
        <translation>Löschen</translation>
    </message>
    <message>
        <source>Save picture</source>
        <translation>Bild speichern</translation>
    </message>
    <message>
        <source>PNG pictures</source>
        <translation>PNG-Bilder</translation>
    </message>
</context>
<context>
    <name>HardwareCards</name>
    <message>
        <source>Looking at this computer</source>
        <translation>Der Computer wird angesehen</translation>
    </message>
    <message>
        <source>Processor</source>
        <translation>Prozessor</translation>
    </message>
    <message>
        <source>Memory</source>
        <translation>Speicher</translation>
    </message>
    <message>
        <source>in total</source>
        <translation>insgesamt</translation>
    </message>
    <message>
        <source>None found</source>
        <translation>Keine gefunden</translation>
    </message>
    <message>
        <source>Everything runs on the processor</source>
        <translation>Alles läuft auf dem Prozessor</translation>
    </message>
    <message>
        <source>Graphics card</source>
        <translation>Grafikkarte</translation>
    </message>
    <message>
        <source>Memory unknown</source>
        <translation>Speicher unbekannt</translation>
    </message>
    <message>
        <source>Not answering</source>
        <translation>Antwortet nicht</translation>
    </message>
    <message>
        <source>{count} cores</source>
        <translation>{count} Kerne</translation>
    </message>
    <message>
        <source>Threads</source>
        <translation>Threads</translation>
    </message>
    <message>
        <source>Architecture</source>
        <translation>Architektur</translation>
    </message>
    <message>
        <source>System</source>
        <translation>System</translation>
    </message>
    <message>
        <source>In use</source>
        <translation>Belegt</translation>
    </message>
    <message>
        <source>Free</source>
        <translation>Frei</translation>
    </message>
    <message>
        <source>Driver</source>
        <translation>Treiber</translation>
    </message>
    <message>
        <source>Works with</source>
        <translation>Läuft mit</translation>
    </message>
    <message>
        <source>not told</source>
        <translation>nicht bekannt</translation>
    </message>
    <message>
        <source>nothing found</source>
        <translation>nichts gefunden</translation>
    </message>
    <message>
        <source>shared with the processor</source>
        <translation>mit dem Prozessor geteilt</translation>
    </message>
</context>
<context>
    <name>ImageForm</name>
    <message>
        <source>Generate</source>
        <translation>Erzeugen</translation>
    </message>
    <message>
        <source>Generate (Ctrl+Enter)</source>
        <translation>Erzeugen (Strg+Enter)</translation>
    </message>
    <message>
        <source>Cancel</source>
        <translation>Abbrechen</translation>
    </message>
    <message>
        <source>Model</source>
        <translation>Modell</translation>
    </message>
    <message>
        <source>Put the settings that suit this model into the form</source>
        <translation>Die zu diesem Modell passenden Werte ins Formular setzen</translation>
    </message>
    <message>
        <source>What should be in the picture?</source>
        <translation>Was soll auf dem Bild sein?</translation>
    </message>
    <message>
        <source>Prompt</source>
        <translation>Prompt</translation>
    </message>
    <message>
        <source>What should not</source>
        <translation>Was nicht</translation>
    </message>
    <message>
        <source>Own size</source>
        <translation>Eigene Größe</translation>
    </message>
    <message>
        <source>Swap width and height</source>
        <translation>Breite und Höhe tauschen</translation>
    </message>
    <message>
        <source>Random</source>
        <translation>Zufällig</translation>
    </message>
    <message>
        <source>Keep the seed of the last picture</source>
        <translation>Den Seed des letzten Bildes behalten</translation>
    </message>
    <message>
        <source>Throw a new seed</source>
        <translation>Neuen Seed würfeln</translation>
    </message>
    <message>
        <source>Automatic</source>
        <translation>Automatisch</translation>
    </message>
    <message>
        <source>Negative prompt</source>
        <translation>Negativer Prompt</translation>
    </message>
    <message>
        <source>Size</source>
        <translation>Größe</translation>
    </message>
    <message>
        <source>Width</source>
        <translation>Breite</translation>
    </message>
    <message>
        <source>Height</source>
        <translation>Höhe</translation>
    </message>
    <message>
        <source>Seed</source>
        <translation>Seed</translation>
    </message>
    <message>
        <source>Pictures</source>
        <translation>Bilder</translation>
    </message>
    <message>
        <source>Add to queue</source>
        <translation>In die Warteschlange</translation>
    </message>
    <message>
        <source>Steps</source>
        <translation>Schritte</translation>
    </message>
    <message>
        <source>CFG scale</source>
        <translation>CFG-Skala</translation>
    </message>
    <message>
        <source>Sampler</source>
        <translation>Sampler</translation>
    </message>
    <message>
        <source>Scheduler</source>
        <translation>Scheduler</translation>
    </message>
    <message>
        <source>{name} (file missing)</source>
        <translation>{name} (Datei fehlt)</translation>
    </message>
    <message>
        <source>Recommended: {what}</source>
        <translation>Empfohlen: {what}</translation>
    </message>
    <message>
        <source>{n} steps</source>
        <translation>{n} Schritte</translation>
    </message>
    <message>
        <source>CFG {x}</source>
        <translation>CFG {x}</translation>
    </message>
</context>
<context>
    <name>ImagesPage</name>
    <message>
        <source>Describe a picture</source>
        <translation>Beschreibe ein Bild</translation>
    </message>
    <message>
        <source>Write at the left what you want to see. A picture dropped here brings its settings back.</source>
        <translation>Schreib links, was du sehen möchtest. Ein hierher gezogenes Bild bringt seine Einstellungen mit.</translation>
    </message>
    <message>
        <source>No image model yet</source>
        <translation>Noch kein Bildmodell</translation>
    </message>
    <message>
        <source>Import a checkpoint, or the parts of a model by their roles, then come back.</source>
        <translation>Importiere einen Checkpoint oder die Teile eines Modells nach ihren Rollen und komm dann wieder.</translation>
    </message>
    <message>
        <source>The settings of this picture are in the form.</source>
        <translation>Die Einstellungen dieses Bildes stehen im Formular.</translation>
    </message>
    <message>
        <source>The picture was deleted.</source>
        <translation>Das Bild wurde gelöscht.</translation>
    </message>
    <message>
        <source>Undo</source>
        <translation>Rückgängig</translation>
    </message>
    <message>
        <source>Go to Models</source>
        <translation>Zu den Modellen</translation>
    </message>
    <message>
        <source>Try again</source>
        <translation>Noch einmal versuchen</translation>
    </message>
    <message>
        <source>Describe what you want to see.</source>
        <translation>Beschreibe, was du sehen möchtest.</translation>
    </message>
    <message>
        <source>The file of this picture is gone: {path}</source>
        <translation>Die Datei dieses Bildes ist weg: {path}</translation>
    </message>
    <message>
        <source>{width} x {height} · seed {seed} · {time}</source>
        <translation>{width} x {height} · Seed {seed} · {time}</translation>
    </message>
</context>
<context>
    <name>InstalledView</name>
    <message>
        <source>No models yet</source>
        <translation>Noch keine Modelle</translation>
    </message>
    <message>
        <source>Drop a GGUF or safetensors file here, import a folder, or download one by its address.</source>
        <translation>Zieh eine GGUF- oder safetensors-Datei hierher, importiere einen Ordner oder lade ein Modell über seine Adresse.</translation>
    </message>
    <message>
        <source>Drop to import in place</source>
        <translation>Loslassen, um an Ort und Stelle zu importieren</translation>
    </message>
    <message>
        <source>Filter by name, family, quantization, licence</source>
        <translation>Nach Name, Familie, Quantisierung, Lizenz filtern</translation>
    </message>
    <message>
        <source>Filter the models</source>
        <translation>Modelle filtern</translation>
    </message>
    <message>
        <source>Import</source>
        <translation>Importieren</translation>
    </message>
    <message>
        <source>Installed models</source>
        <translation>Installierte Modelle</translation>
    </message>
    <message>
        <source>Import models</source>
        <translation>Modelle importieren</translation>
    </message>
    <message>
        <source>Models (*.gguf *.safetensors *.sft);;All files (*)</source>
        <translation>Modelle (*.gguf *.safetensors *.sft);;Alle Dateien (*)</translation>
    </message>
    <message>
        <source>Import a folder of models</source>
        <translation>Einen Ordner mit Modellen importieren</translation>
    </message>
    <message>
        <source>Import files…</source>
        <translation>Dateien importieren…</translation>
    </message>
    <message>
        <source>Download by address</source>
        <translation>Über die Adresse herunterladen</translation>
    </message>
    <message>
        <source>Reading the shelf</source>
        <translation>Die Modelle werden gelesen</translation>
    </message>
    <message>
        <source>Files…</source>
        <translation>Dateien…</translation>
    </message>
    <message>
        <source>Folder…</source>
        <translation>Ordner…</translation>
    </message>
    <message>
        <source>Image model by parts…</source>
        <translation>Bildmodell aus Teilen…</translation>
    </message>
    <message>
        <source>{free_of_total} free</source>
        <translation>{free_of_total} frei</translation>
    </message>
    <message>
        <source>Disk: {text}</source>
        <translation>Festplatte: {text}</translation>
    </message>
</context>
<context>
    <name>JobRow</name>
    <message>
        <source>Retry</source>
        <translation>Noch einmal</translation>
    </message>
    <message>
        <source>Cancel</source>
        <translation>Abbrechen</translation>
    </message>
    <message>
        <source>waiting</source>
        <translation>wartet</translation>
    </message>
    <message>
        <source>done</source>
        <translation>fertig</translation>
    </message>
    <message>
        <source>failed</source>
        <translation>fehlgeschlagen</translation>
    </message>
    <message>
        <source>cancelled</source>
        <translation>abgebrochen</translation>
    </message>
    <message>
        <source>starting</source>
        <translation>startet</translation>
    </message>
    <message>
        <source>Cancel {title}</source>
        <translation>{title} abbrechen</translation>
    </message>
</context>
<context>
    <name>JobsPopover</name>
    <message>
        <source>Running jobs</source>
        <translation>Laufende Aufgaben</translation>
    </message>
    <message>
        <source>Nothing is running.</source>
        <translation>Nichts läuft.</translation>
    </message>
    <message>
        <source>Jobs</source>
        <translation>Aufgaben</translation>
    </message>
</context>
<context>
    <name>LogView</name>
    <message>
        <source>No lines yet.</source>
        <translation>Noch keine Zeilen.</translation>
    </message>
    <message>
        <source>Log</source>
        <translation>Protokoll</translation>
    </message>
    <message>
        <source>No line matches the filter.</source>
        <translation>Keine Zeile passt zum Filter.</translation>
    </message>
</context>
<context>
    <name>LogWindow</name>
    <message>
        <source>Filter lines</source>
        <translation>Zeilen filtern</translation>
    </message>
    <message>
        <source>Least level shown</source>
        <translation>Kleinste gezeigte Stufe</translation>
    </message>
    <message>
        <source>Copy the selected lines, or all</source>
        <translation>Gewählte Zeilen kopieren, sonst alle</translation>
    </message>
    <message>
        <source>Save as a file</source>
        <translation>Als Datei speichern</translation>
    </message>
    <message>
        <source>Clear the log</source>
        <translation>Protokoll leeren</translation>
    </message>
    <message>
        <source>Jump to the end</source>
        <translation>Ans Ende springen</translation>
    </message>
    <message>
        <source>Save the log</source>
        <translation>Protokoll speichern</translation>
    </message>
    <message>
        <source>Logs (*.log *.txt)</source>
        <translation>Protokolle (*.log *.txt)</translation>
    </message>
    <message>
        <source>Choose another folder.</source>
        <translation>Wähle einen anderen Ordner.</translation>
    </message>
    <message>
        <source>All</source>
        <translation>Alle</translation>
    </message>
    <message>
        <source>Info</source>
        <translation>Info</translation>
    </message>
    <message>
        <source>Warnings</source>
        <translation>Warnungen</translation>
    </message>
    <message>
        <source>Errors</source>
        <translation>Fehler</translation>
    </message>
    <message>
        <source>Saved as {path}</source>
        <translation>Gespeichert als {path}</translation>
    </message>
    <message>
        <source>{path} could not be written: {why}.</source>
        <translation>{path} konnte nicht geschrieben werden: {why}.</translation>
    </message>
    <message>
        <source>{count} lines</source>
        <translation>{count} Zeilen</translation>
    </message>
    <message>
        <source>{shown} of {total} lines</source>
        <translation>{shown} von {total} Zeilen</translation>
    </message>
</context>
<context>
    <name>MessageStrip</name>
    <message>
        <source>Dismiss</source>
        <translation>Ausblenden</translation>
    </message>
</context>
<context>
    <name>MessageView</name>
    <message>
        <source>Attached picture</source>
        <translation>Angehängtes Bild</translation>
    </message>
    <message>
        <source>Waits for the model, then it is sent</source>
        <translation>Wartet auf das Modell, dann wird es gesendet</translation>
    </message>
    <message>
        <source>Copy message</source>
        <translation>Nachricht kopieren</translation>
    </message>
    <message>
        <source>Reply again</source>
        <translation>Neu antworten</translation>
    </message>
    <message>
        <source>Reading the prompt …</source>
        <translation>Der Prompt wird gelesen …</translation>
    </message>
    <message>
        <source>stopped</source>
        <translation>gestoppt</translation>
    </message>
    <message>
        <source>Try again</source>
        <translation>Noch einmal versuchen</translation>
    </message>
    <message>
        <source>Edit and send again</source>
        <translation>Ändern und neu senden</translation>
    </message>
    <message>
        <source>The reply was interrupted; what had arrived is kept.</source>
        <translation>Die Antwort wurde unterbrochen; was angekommen war, bleibt.</translation>
    </message>
    <message>
        <source>The reply failed.</source>
        <translation>Die Antwort ist gescheitert.</translation>
    </message>
    <message>
        <source>Reading the prompt, {percent} %</source>
        <translation>Der Prompt wird gelesen, {percent} %</translation>
    </message>
    <message>
        <source>cut at the token limit</source>
        <translation>an der Token-Grenze abgeschnitten</translation>
    </message>
    <message>
        <source>{n} tokens</source>
        <translation>{n} Token</translation>
    </message>
    <message>
        <source>first after {time}</source>
        <translation>das erste nach {time}</translation>
    </message>
</context>
<context>
    <name>ModelBar</name>
    <message>
        <source>Language model</source>
        <translation>Sprachmodell</translation>
    </message>
    <message>
        <source>Not loaded</source>
        <translation>Nicht geladen</translation>
    </message>
    <message>
        <source>Load</source>
        <translation>Laden</translation>
    </message>
    <message>
        <source>Load again with these settings</source>
        <translation>Mit diesen Einstellungen neu laden</translation>
    </message>
    <message>
        <source>Settings of this chat</source>
        <translation>Einstellungen dieses Gesprächs</translation>
    </message>
    <message>
        <source>Loading</source>
        <translation>Lädt</translation>
    </message>
    <message>
        <source>Ready</source>
        <translation>Bereit</translation>
    </message>
    <message>
        <source>Unloading</source>
        <translation>Entlädt</translation>
    </message>
    <message>
        <source>Crashed</source>
        <translation>Abgestürzt</translation>
    </message>
    <message>
        <source>Loading {percent} %</source>
        <translation>Lädt {percent} %</translation>
    </message>
    <message>
        <source>{name} is loaded</source>
        <translation>{name} ist geladen</translation>
    </message>
    <message>
        <source>Cancel</source>
        <translation>Abbrechen</translation>
    </message>
    <message>
        <source>Unload</source>
        <translation>Entladen</translation>
    </message>
    <message>
        <source>{name} (file missing)</source>
        <translation>{name} (Datei fehlt)</translation>
    </message>
</context>
<context>
    <name>ModelTable</name>
    <message>
        <source>Name</source>
        <translation>Name</translation>
    </message>
    <message>
        <source>Kind</source>
        <translation>Art</translation>
    </message>
    <message>
        <source>Family</source>
        <translation>Familie</translation>
    </message>
    <message>
        <source>Quantization</source>
        <translation>Quantisierung</translation>
    </message>
    <message>
        <source>Size</source>
        <translation>Größe</translation>
    </message>
    <message>
        <source>Context</source>
        <translation>Kontext</translation>
    </message>
    <message>
        <source>Fit</source>
        <translation>Passt</translation>
    </message>
    <message>
        <source>Licence</source>
        <translation>Lizenz</translation>
    </message>
    <message>
        <source>Last used</source>
        <translation>Zuletzt benutzt</translation>
    </message>
    <message>
        <source>file is missing</source>
        <translation>Datei fehlt</translation>
    </message>
    <message>
        <source>LLM</source>
        <translation>LLM</translation>
    </message>
    <message>
        <source>image</source>
        <translation>Bild</translation>
    </message>
    <message>
        <source>not stated</source>
        <translation>nicht genannt</translation>
    </message>
    <message>
        <source>never</source>
        <translation>nie</translation>
    </message>
</context>
<context>
    <name>ModelsPage</name>
    <message>
        <source>Part of the models page</source>
        <translation>Teil der Modellseite</translation>
    </message>
    <message>
        <source>Reading every byte. This takes a while.</source>
        <translation>Jedes Byte wird gelesen. Das dauert eine Weile.</translation>
    </message>
    <message>
        <source>Only the entry goes: the files were imported in place and stay where they are.</source>
        <translation>Nur der Eintrag geht: die Dateien wurden an Ort und Stelle importiert und bleiben dort.</translation>
    </message>
    <message>
        <source>Models</source>
        <translation>Modelle</translation>
    </message>
    <message>
        <source>{name} was removed.</source>
        <translation>{name} wurde entfernt.</translation>
    </message>
    <message>
        <source>Nothing new was found there.</source>
        <translation>Dort fand sich nichts Neues.</translation>
    </message>
    <message>
        <source>{name} was imported.</source>
        <translation>{name} wurde importiert.</translation>
    </message>
    <message>
        <source>Try again</source>
        <translation>Noch einmal versuchen</translation>
    </message>
    <message>
        <source>Show downloads</source>
        <translation>Downloads zeigen</translation>
    </message>
    <message>
        <source>Remove</source>
        <translation>Entfernen</translation>
    </message>
    <message>
        <source>Keep</source>
        <translation>Behalten</translation>
    </message>
    <message>
        <source>Its files are deleted. This frees {size}.</source>
        <translation>Seine Dateien werden gelöscht. Das gibt {size} frei.</translation>
    </message>
    <message>
        <source>Installed</source>
        <translation>Installiert</translation>
    </message>
    <message>
        <source>Discover</source>
        <translation>Entdecken</translation>
    </message>
    <message>
        <source>Downloads</source>
        <translation>Downloads</translation>
    </message>
    <message>
        <source>No digest came with it, so a change could not be seen. That is not a failure.</source>
        <translation>Es kam ohne Prüfsumme, eine Änderung wäre nicht zu sehen. Das ist kein Fehler.</translation>
    </message>
    <message>
        <source>Download or copy it again.</source>
        <translation>Lade oder kopiere es noch einmal.</translation>
    </message>
    <message>
        <source>{count} models were imported.</source>
        <translation>{count} Modelle wurden importiert.</translation>
    </message>
    <message>
        <source>{name} is here.</source>
        <translation>{name} ist da.</translation>
    </message>
    <message>
        <source>Chat with this</source>
        <translation>Damit chatten</translation>
    </message>
    <message>
        <source>Use in the studio</source>
        <translation>Im Studio verwenden</translation>
    </message>
    <message>
        <source>{name} is unchanged, byte by byte.</source>
        <translation>{name} ist unverändert, Byte für Byte.</translation>
    </message>
    <message>
        <source>{size} are free again.</source>
        <translation>{size} sind wieder frei.</translation>
    </message>
    <message>
        <source>Remove {name}?</source>
        <translation>{name} entfernen?</translation>
    </message>
    <message>
        <source>Kept for {names}: {files}.</source>
        <translation>Bleibt für {names}: {files}.</translation>
    </message>
    <message>
        <source>There is nothing to compare {name} with.</source>
        <translation>Es gibt nichts, womit {name} zu vergleichen wäre.</translation>
    </message>
    <message>
        <source>{name} is damaged: {files}.</source>
        <translation>{name} ist beschädigt: {files}.</translation>
    </message>
</context>
<context>
    <name>NavButton</name>
    <message>
        <source>a problem</source>
        <translation>ein Problem</translation>
    </message>
</context>
<context>
    <name>OnboardingPage</name>
    <message>
        <source>Chat with a language model and paint pictures on this computer. Nothing leaves it. Everything below is filled in; change it or just start.</source>
        <translation>Mit einem Sprachmodell reden und Bilder malen, auf diesem Computer. Nichts verlässt ihn. Alles hier ist schon ausgefüllt: ändere es oder fang einfach an.</translation>
    </message>
    <message>
        <source>1. This computer</source>
        <translation>1. Dieser Computer</translation>
    </message>
    <message>
        <source>Looking at this computer</source>
        <translation>Der Computer wird angesehen</translation>
    </message>
    <message>
        <source>2. The engine</source>
        <translation>2. Die Engine</translation>
    </message>
    <message>
        <source>Looking for engines</source>
        <translation>Engines werden gesucht</translation>
    </message>
    <message>
        <source>3. The first model</source>
        <translation>3. Das erste Modell</translation>
    </message>
    <message>
        <source>Reading the shelf</source>
        <translation>Die Modelle werden gelesen</translation>
    </message>
    <message>
        <source>Use a file of mine…</source>
        <translation>Eigene Datei verwenden…</translation>
    </message>
    <message>
        <source>Start chatting</source>
        <translation>Gespräch beginnen</translation>
    </message>
    <message>
        <source>Skip</source>
        <translation>Überspringen</translation>
    </message>
    <message>
        <source>ready</source>
        <translation>bereit</translation>
    </message>
    <message>
        <source>it comes with the program</source>
        <translation>gehört zum Programm</translation>
    </message>
    <message>
        <source>Pictures: stable-diffusion.cpp is here too.</source>
        <translation>Bilder: stable-diffusion.cpp ist auch da.</translation>
    </message>
    <message>
        <source>Pictures: stable-diffusion.cpp is not installed; chatting works without it.</source>
        <translation>Bilder: stable-diffusion.cpp ist nicht installiert; Chatten geht auch ohne.</translation>
    </message>
    <message>
        <source>A tiny demonstration model is already here. It knows this program and little else.</source>
        <translation>Ein winziges Vorführmodell ist schon da. Es kennt dieses Programm und sonst wenig.</translation>
    </message>
    <message>
        <source>It loads in a second and needs no network. Better ones are in Models.</source>
        <translation>Es lädt in einer Sekunde und braucht kein Netz. Bessere gibt es unter Modelle.</translation>
    </message>
    <message>
        <source>Use a file of mine</source>
        <translation>Eigene Datei verwenden</translation>
    </message>
    <message>
        <source>Language models (*.gguf);;All files (*)</source>
        <translation>Sprachmodelle (*.gguf);;Alle Dateien (*)</translation>
    </message>
    <message>
        <source>Welcome</source>
        <translation>Willkommen</translation>
    </message>
    <message>
        <source>no graphics card</source>
        <translation>keine Grafikkarte</translation>
    </message>
    <message>
        <source>No engine for language models was found.</source>
        <translation>Keine Engine für Sprachmodelle gefunden.</translation>
    </message>
    <message>
        <source>Choose a llama-server of yours in the System tab.</source>
        <translation>Wähle unter System einen eigenen llama-server.</translation>
    </message>
    <message>
        <source>missing</source>
        <translation>fehlt</translation>
    </message>
    <message>
        <source>failed</source>
        <translation>fehlgeschlagen</translation>
    </message>
    <message>
        <source>{count} cores</source>
        <translation>{count} Kerne</translation>
    </message>
    <message>
        <source>{size} of memory</source>
        <translation>{size} Speicher</translation>
    </message>
    <message>
        <source>{name} is already here.</source>
        <translation>{name} ist schon da.</translation>
    </message>
</context>
<context>
    <name>PartCard</name>
    <message>
        <source>Source: {source}</source>
        <translation>Quelle: {source}</translation>
    </message>
</context>
<context>
    <name>PartsPanel</name>
    <message>
        <source>Choose the files that belong together, or drop them on their rows. They stay where they are.</source>
        <translation>Wähle die Dateien, die zusammengehören, oder zieh sie auf ihre Zeilen. Sie bleiben, wo sie sind.</translation>
    </message>
    <message>
        <source>Image model by parts</source>
        <translation>Bildmodell aus Teilen</translation>
    </message>
    <message>
        <source>Close without importing</source>
        <translation>Schließen, ohne zu importieren</translation>
    </message>
    <message>
        <source>For instance: Flux 2 Klein</source>
        <translation>Zum Beispiel: Flux 2 Klein</translation>
    </message>
    <message>
        <source>Cancel</source>
        <translation>Abbrechen</translation>
    </message>
    <message>
        <source>Import</source>
        <translation>Importieren</translation>
    </message>
    <message>
        <source>Choose a file</source>
        <translation>Datei wählen</translation>
    </message>
    <message>
        <source>Models (*.gguf *.safetensors *.sft);;All files (*)</source>
        <translation>Modelle (*.gguf *.safetensors *.sft);;Alle Dateien (*)</translation>
    </message>
    <message>
        <source>Name</source>
        <translation>Name</translation>
    </message>
    <message>
        <source>Empty: named after the file</source>
        <translation>Leer: heißt wie die Datei</translation>
    </message>
    <message>
        <source>Choose…</source>
        <translation>Wählen…</translation>
    </message>
    <message>
        <source>The diffusion model is needed at least.</source>
        <translation>Mindestens das Diffusionsmodell wird gebraucht.</translation>
    </message>
    <message>
        <source>Choose {role}</source>
        <translation>{role} wählen</translation>
    </message>
</context>
<context>
    <name>ProgressLine</name>
    <message>
        <source>Waiting for its turn</source>
        <translation>Wartet, bis es dran ist</translation>
    </message>
    <message>
        <source>The language model steps aside</source>
        <translation>Das Sprachmodell macht Platz</translation>
    </message>
    <message>
        <source>Loading the model</source>
        <translation>Das Modell wird geladen</translation>
    </message>
    <message>
        <source>Painting</source>
        <translation>Malt</translation>
    </message>
    <message>
        <source>Decoding</source>
        <translation>Dekodiert</translation>
    </message>
    <message>
        <source>Saving</source>
        <translation>Speichert</translation>
    </message>
    <message>
        <source>The language model comes back</source>
        <translation>Das Sprachmodell kommt zurück</translation>
    </message>
    <message>
        <source>Done</source>
        <translation>Fertig</translation>
    </message>
    <message>
        <source>{stage}, step {step} of {steps}</source>
        <translation>{stage}, Schritt {step} von {steps}</translation>
    </message>
    <message>
        <source>picture {n} of {total}</source>
        <translation>Bild {n} von {total}</translation>
    </message>
    <message>
        <source>{time} left</source>
        <translation>noch {time}</translation>
    </message>
</context>
<context>
    <name>PromptEdit</name>
    <message>
        <source>Message</source>
        <translation>Nachricht</translation>
    </message>
</context>
<context>
    <name>QueueRow</name>
    <message>
        <source>waiting</source>
        <translation>wartet</translation>
    </message>
    <message>
        <source>painting</source>
        <translation>malt</translation>
    </message>
    <message>
        <source>done</source>
        <translation>fertig</translation>
    </message>
    <message>
        <source>cancelled</source>
        <translation>abgebrochen</translation>
    </message>
    <message>
        <source>Paint earlier</source>
        <translation>Früher malen</translation>
    </message>
    <message>
        <source>Cancel this picture</source>
        <translation>Dieses Bild abbrechen</translation>
    </message>
    <message>
        <source>failed</source>
        <translation>fehlgeschlagen</translation>
    </message>
    <message>
        <source>(no prompt)</source>
        <translation>(kein Prompt)</translation>
    </message>
    <message>
        <source>Try again</source>
        <translation>Noch einmal versuchen</translation>
    </message>
</context>
<context>
    <name>QueueView</name>
    <message>
        <source>Queue</source>
        <translation>Warteschlange</translation>
    </message>
    <message>
        <source>Queue, {n}</source>
        <translation>Warteschlange, {n}</translation>
    </message>
</context>
<context>
    <name>Rail</name>
    <message>
        <source>Navigation</source>
        <translation>Navigation</translation>
    </message>
    <message>
        <source>System</source>
        <translation>System</translation>
    </message>
    <message>
        <source>Models</source>
        <translation>Modelle</translation>
    </message>
    <message>
        <source>LLM Chat</source>
        <translation>LLM-Chat</translation>
    </message>
    <message>
        <source>Image Studio</source>
        <translation>Bildstudio</translation>
    </message>
    <message>
        <source>Collapse the navigation</source>
        <translation>Navigation einklappen</translation>
    </message>
    <message>
        <source>Settings</source>
        <translation>Einstellungen</translation>
    </message>
    <message>
        <source>Expand the navigation</source>
        <translation>Navigation ausklappen</translation>
    </message>
</context>
<context>
    <name>ReasoningBlock</name>
    <message>
        <source>Thinking …</source>
        <translation>Denkt nach …</translation>
    </message>
    <message>
        <source>Thoughts</source>
        <translation>Gedanken</translation>
    </message>
    <message>
        <source>Thought for {time}</source>
        <translation>{time} nachgedacht</translation>
    </message>
</context>
<context>
    <name>RecommendationCard</name>
    <message>
        <source>none, all on the processor</source>
        <translation>keine, alle auf dem Prozessor</translation>
    </message>
    <message>
        <source>Recommendation</source>
        <translation>Empfehlung</translation>
    </message>
    <message>
        <source>all on the graphics card</source>
        <translation>alle auf der Grafikkarte</translation>
    </message>
    <message>
        <source>Models up to {size}</source>
        <translation>Modelle bis {size}</translation>
    </message>
    <message>
        <source>Quantization</source>
        <translation>Quantisierung</translation>
    </message>
    <message>
        <source>Threads</source>
        <translation>Threads</translation>
    </message>
    <message>
        <source>Layers</source>
        <translation>Schichten</translation>
    </message>
    <message>
        <source>{count} on the graphics card</source>
        <translation>{count} auf der Grafikkarte</translation>
    </message>
</context>
<context>
    <name>ServerCard</name>
    <message>
        <source>stopped</source>
        <translation>gestoppt</translation>
    </message>
    <message>
        <source>Loading</source>
        <translation>Lädt</translation>
    </message>
    <message>
        <source>Copy the command line</source>
        <translation>Befehlszeile kopieren</translation>
    </message>
    <message>
        <source>Start</source>
        <translation>Starten</translation>
    </message>
    <message>
        <source>Stop</source>
        <translation>Stoppen</translation>
    </message>
    <message>
        <source>Restart</source>
        <translation>Neu starten</translation>
    </message>
    <message>
        <source>Logs</source>
        <translation>Protokoll</translation>
    </message>
    <message>
        <source>starting</source>
        <translation>startet</translation>
    </message>
    <message>
        <source>stopping</source>
        <translation>stoppt</translation>
    </message>
    <message>
        <source>crashed</source>
        <translation>abgestürzt</translation>
    </message>
    <message>
        <source>answers</source>
        <translation>antwortet</translation>
    </message>
    <message>
        <source>loading</source>
        <translation>lädt</translation>
    </message>
    <message>
        <source>does not answer</source>
        <translation>antwortet nicht</translation>
    </message>
    <message>
        <source>Not running. Start loads the last model; any model can be loaded from LLM Chat.</source>
        <translation>Läuft nicht. Start lädt das letzte Modell; im LLM-Chat lässt sich jedes laden.</translation>
    </message>
    <message>
        <source>Not running. It starts by itself when a picture is wanted.</source>
        <translation>Läuft nicht. Sie startet von selbst, wenn ein Bild gewünscht ist.</translation>
    </message>
    <message>
        <source>working</source>
        <translation>arbeitet</translation>
    </message>
    <message>
        <source>running</source>
        <translation>läuft</translation>
    </message>
    <message>
        <source>Model</source>
        <translation>Modell</translation>
    </message>
    <message>
        <source>Engine</source>
        <translation>Engine</translation>
    </message>
    <message>
        <source>Port</source>
        <translation>Port</translation>
    </message>
    <message>
        <source>Process</source>
        <translation>Prozess</translation>
    </message>
    <message>
        <source>Uptime</source>
        <translation>Laufzeit</translation>
    </message>
    <message>
        <source>Health</source>
        <translation>Zustand</translation>
    </message>
    <message>
        <source>Context</source>
        <translation>Kontext</translation>
    </message>
    <message>
        <source>Layers on GPU</source>
        <translation>Schichten auf der GPU</translation>
    </message>
    <message>
        <source>Restarts</source>
        <translation>Neustarts</translation>
    </message>
    <message>
        <source>(asked: {value})</source>
        <translation>(verlangt: {value})</translation>
    </message>
</context>
<context>
    <name>SettingsPage</name>
    <message>
        <source>Only programs on this computer can reach it. In effect with the next start of it.</source>
        <translation>Nur Programme auf diesem Computer erreichen ihn. Gilt ab seinem nächsten Start.</translation>
    </message>
    <message>
        <source>This program sends nothing about you or your computer anywhere.</source>
        <translation>Dieses Programm sendet nichts über dich oder deinen Computer irgendwohin.</translation>
    </message>
    <message>
        <source>Appearance</source>
        <translation>Aussehen</translation>
    </message>
    <message>
        <source>Theme</source>
        <translation>Farben</translation>
    </message>
    <message>
        <source>Text size</source>
        <translation>Schriftgröße</translation>
    </message>
    <message>
        <source>Reduced motion</source>
        <translation>Weniger Bewegung</translation>
    </message>
    <message>
        <source>Nothing slides or pulses.</source>
        <translation>Nichts gleitet oder pulsiert.</translation>
    </message>
    <message>
        <source>Language</source>
        <translation>Sprache</translation>
    </message>
    <message>
        <source>Takes effect with the next start.</source>
        <translation>Gilt ab dem nächsten Start.</translation>
    </message>
    <message>
        <source>One memory for both</source>
        <translation>Ein Speicher für beide</translation>
    </message>
    <message>
        <source>Let the LLM step aside for pictures</source>
        <translation>Das LLM macht Platz für Bilder</translation>
    </message>
    <message>
        <source>It leaves the memory while a picture is made and comes back with the conversation intact.</source>
        <translation>Es verlässt den Speicher, solange ein Bild entsteht, und kommt mit dem ganzen Gespräch zurück.</translation>
    </message>
    <message>
        <source>Interrupt a running reply</source>
        <translation>Eine laufende Antwort unterbrechen</translation>
    </message>
    <message>
        <source>On: the reply pauses and goes on after the picture. Off: the picture waits for its end.</source>
        <translation>Ein: die Antwort pausiert und geht nach dem Bild weiter. Aus: das Bild wartet auf ihr Ende.</translation>
    </message>
    <message>
        <source>Network</source>
        <translation>Netz</translation>
    </message>
    <message>
        <source>Offline</source>
        <translation>Offline</translation>
    </message>
    <message>
        <source>No request leaves this computer. What is installed keeps working.</source>
        <translation>Keine Anfrage verlässt diesen Computer. Was installiert ist, funktioniert weiter.</translation>
    </message>
    <message>
        <source>Port of the LLM server</source>
        <translation>Port des LLM-Servers</translation>
    </message>
    <message>
        <source>Port of the image server</source>
        <translation>Port des Bildservers</translation>
    </message>
    <message>
        <source>automatic</source>
        <translation>automatisch</translation>
    </message>
    <message>
        <source>Window</source>
        <translation>Fenster</translation>
    </message>
    <message>
        <source>When the window is closed</source>
        <translation>Wenn das Fenster geschlossen wird</translation>
    </message>
    <message>
        <source>Without a tray it quits.</source>
        <translation>Ohne Infobereich wird beendet.</translation>
    </message>
    <message>
        <source>Notifications</source>
        <translation>Benachrichtigungen</translation>
    </message>
    <message>
        <source>When something long has finished and the window is not in front.</source>
        <translation>Wenn etwas Langes fertig ist und das Fenster nicht vorn liegt.</translation>
    </message>
    <message>
        <source>Start in the tray</source>
        <translation>Im Infobereich starten</translation>
    </message>
    <message>
        <source>Start with the computer</source>
        <translation>Mit dem Computer starten</translation>
    </message>
    <message>
        <source>Data</source>
        <translation>Daten</translation>
    </message>
    <message>
        <source>Open</source>
        <translation>Öffnen</translation>
    </message>
    <message>
        <source>Data folder</source>
        <translation>Datenordner</translation>
    </message>
    <message>
        <source>Models, conversations, pictures and logs. --data-dir or GENAI_DESKTOP_HOME choose another.</source>
        <translation>Modelle, Gespräche, Bilder und Protokolle. --data-dir oder GENAI_DESKTOP_HOME wählen einen anderen.</translation>
    </message>
    <message>
        <source>Settings</source>
        <translation>Einstellungen</translation>
    </message>
    <message>
        <source>Like the system</source>
        <translation>Wie das System</translation>
    </message>
    <message>
        <source>Light</source>
        <translation>Hell</translation>
    </message>
    <message>
        <source>Dark</source>
        <translation>Dunkel</translation>
    </message>
    <message>
        <source>When needed</source>
        <translation>Bei Bedarf</translation>
    </message>
    <message>
        <source>Always</source>
        <translation>Immer</translation>
    </message>
    <message>
        <source>Never</source>
        <translation>Nie</translation>
    </message>
    <message>
        <source>Ask</source>
        <translation>Fragen</translation>
    </message>
    <message>
        <source>Keep running in the tray</source>
        <translation>Im Infobereich weiterlaufen</translation>
    </message>
    <message>
        <source>Quit</source>
        <translation>Beenden</translation>
    </message>
</context>
<context>
    <name>SidePanel</name>
    <message>
        <source>Settings of this chat</source>
        <translation>Einstellungen dieses Gesprächs</translation>
    </message>
    <message>
        <source>System prompt</source>
        <translation>Systemprompt</translation>
    </message>
    <message>
        <source>How the model should behave in this chat</source>
        <translation>Wie sich das Modell in diesem Gespräch verhalten soll</translation>
    </message>
    <message>
        <source>What runs now</source>
        <translation>Was jetzt läuft</translation>
    </message>
    <message>
        <source>Copy</source>
        <translation>Kopieren</translation>
    </message>
    <message>
        <source>Copy the command line</source>
        <translation>Befehlszeile kopieren</translation>
    </message>
    <message>
        <source>Effective command line</source>
        <translation>Tatsächliche Befehlszeile</translation>
    </message>
    <message>
        <source>Context</source>
        <translation>Kontext</translation>
    </message>
    <message>
        <source>GPU layers</source>
        <translation>GPU-Schichten</translation>
    </message>
    <message>
        <source>Slots</source>
        <translation>Slots</translation>
    </message>
    <message>
        <source>Threads</source>
        <translation>Threads</translation>
    </message>
    <message>
        <source>Auto</source>
        <translation>Auto</translation>
    </message>
    <message>
        <source>Sampling</source>
        <translation>Sampling</translation>
    </message>
    <message>
        <source>Server, from the next load</source>
        <translation>Server, ab dem nächsten Laden</translation>
    </message>
    <message>
        <source>Context, tokens</source>
        <translation>Kontext, Token</translation>
    </message>
    <message>
        <source>KV cache type</source>
        <translation>Art des KV-Caches</translation>
    </message>
    <message>
        <source>Command line</source>
        <translation>Befehlszeile</translation>
    </message>
    <message>
        <source>Engine</source>
        <translation>Engine</translation>
    </message>
    <message>
        <source>Temperature</source>
        <translation>Temperatur</translation>
    </message>
    <message>
        <source>Top p</source>
        <translation>Top p</translation>
    </message>
    <message>
        <source>Reply limit, tokens</source>
        <translation>Grenze der Antwort, Token</translation>
    </message>
    <message>
        <source>Seed</source>
        <translation>Seed</translation>
    </message>
    <message>
        <source>Automatic</source>
        <translation>Automatisch</translation>
    </message>
    <message>
        <source>Automatic (f16)</source>
        <translation>Automatisch (f16)</translation>
    </message>
</context>
<context>
    <name>StatusBar</name>
    <message>
        <source>Status</source>
        <translation>Status</translation>
    </message>
    <message>
        <source>LLM</source>
        <translation>LLM</translation>
    </message>
    <message>
        <source>Images</source>
        <translation>Bilder</translation>
    </message>
    <message>
        <source>Graphics memory</source>
        <translation>Grafikspeicher</translation>
    </message>
    <message>
        <source>Memory</source>
        <translation>Speicher</translation>
    </message>
    <message>
        <source>LLM stepped aside</source>
        <translation>LLM macht Platz</translation>
    </message>
    <message>
        <source>loading</source>
        <translation>lädt</translation>
    </message>
    <message>
        <source>stopping</source>
        <translation>stoppt</translation>
    </message>
    <message>
        <source>crashed</source>
        <translation>abgestürzt</translation>
    </message>
    <message>
        <source>waiting</source>
        <translation>wartet</translation>
    </message>
    <message>
        <source>making room</source>
        <translation>macht Platz</translation>
    </message>
    <message>
        <source>painting</source>
        <translation>malt</translation>
    </message>
    <message>
        <source>decoding</source>
        <translation>dekodiert</translation>
    </message>
    <message>
        <source>saving</source>
        <translation>speichert</translation>
    </message>
    <message>
        <source>bringing the LLM back</source>
        <translation>holt das LLM zurück</translation>
    </message>
    <message>
        <source>No jobs</source>
        <translation>Keine Aufgaben</translation>
    </message>
    <message>
        <source>No model loaded</source>
        <translation>Kein Modell geladen</translation>
    </message>
    <message>
        <source>replying</source>
        <translation>antwortet</translation>
    </message>
    <message>
        <source>ready</source>
        <translation>bereit</translation>
    </message>
    <message>
        <source>Images idle</source>
        <translation>Bilder: nichts zu tun</translation>
    </message>
    <message>
        <source>loading {percent}</source>
        <translation>lädt {percent}</translation>
    </message>
    <message>
        <source>step {step} of {steps}</source>
        <translation>Schritt {step} von {steps}</translation>
    </message>
    <message>
        <source>Jobs {count}</source>
        <translation>Aufgaben {count}</translation>
    </message>
    <message>
        <source>queue {count}</source>
        <translation>{count} warten</translation>
    </message>
    <message>
        <source>Image</source>
        <translation>Bild</translation>
    </message>
    <message>
        <source>back in about {time}</source>
        <translation>zurück in etwa {time}</translation>
    </message>
</context>
<context>
    <name>StepCard</name>
    <message>
        <source>looking</source>
        <translation>sucht</translation>
    </message>
</context>
<context>
    <name>SystemPage</name>
    <message>
        <source>Look again</source>
        <translation>Neu erkennen</translation>
    </message>
    <message>
        <source>Copy diagnostics</source>
        <translation>Diagnose kopieren</translation>
    </message>
    <message>
        <source>Servers</source>
        <translation>Server</translation>
    </message>
    <message>
        <source>Engines</source>
        <translation>Engines</translation>
    </message>
    <message>
        <source>Events</source>
        <translation>Ereignisse</translation>
    </message>
    <message>
        <source>Diagnostics are in the clipboard, without secrets.</source>
        <translation>Die Diagnose ist in der Zwischenablage, ohne Geheimnisse.</translation>
    </message>
    <message>
        <source>System</source>
        <translation>System</translation>
    </message>
    <message>
        <source>Try again</source>
        <translation>Noch einmal versuchen</translation>
    </message>
    <message>
        <source>Choose a model</source>
        <translation>Ein Modell wählen</translation>
    </message>
    <message>
        <source>Log of the LLM server</source>
        <translation>Protokoll des LLM-Servers</translation>
    </message>
    <message>
        <source>Log of the image engine</source>
        <translation>Protokoll der Bild-Engine</translation>
    </message>
</context>
<context>
    <name>TestLine</name>
    <message>
        <source>passed</source>
        <translation>bestanden</translation>
    </message>
    <message>
        <source>failed</source>
        <translation>fehlgeschlagen</translation>
    </message>
</context>
<context>
    <name>TimeChart</name>
    <message>
        <source>now</source>
        <translation>jetzt</translation>
    </message>
    <message>
        <source>Collecting</source>
        <translation>Sammelt</translation>
    </message>
    <message>
        <source>{time} ago</source>
        <translation>vor {time}</translation>
    </message>
</context>
<context>
    <name>Toast</name>
    <message>
        <source>Dismiss</source>
        <translation>Ausblenden</translation>
    </message>
</context>
<context>
    <name>Transcript</name>
    <message>
        <source>Conversation</source>
        <translation>Gespräch</translation>
    </message>
    <message>
        <source>Show earlier messages</source>
        <translation>Frühere Nachrichten zeigen</translation>
    </message>
    <message>
        <source>Newest</source>
        <translation>Neueste</translation>
    </message>
</context>
<context>
    <name>Tray</name>
    <message>
        <source>Hide</source>
        <translation>Ausblenden</translation>
    </message>
    <message>
        <source>Cancel the picture</source>
        <translation>Das Bild abbrechen</translation>
    </message>
    <message>
        <source>No model loaded</source>
        <translation>Kein Modell geladen</translation>
    </message>
    <message>
        <source>LLM: loading {name}</source>
        <translation>LLM: lädt {name}</translation>
    </message>
    <message>
        <source>LLM: {name}</source>
        <translation>LLM: {name}</translation>
    </message>
    <message>
        <source>LLM: stopping {name}</source>
        <translation>LLM: stoppt {name}</translation>
    </message>
    <message>
        <source>LLM: {name} crashed</source>
        <translation>LLM: {name} ist abgestürzt</translation>
    </message>
    <message>
        <source>Images: idle</source>
        <translation>Bilder: nichts zu tun</translation>
    </message>
    <message>
        <source>Show</source>
        <translation>Anzeigen</translation>
    </message>
    <message>
        <source>Stop the LLM</source>
        <translation>LLM stoppen</translation>
    </message>
    <message>
        <source>Start the LLM</source>
        <translation>LLM starten</translation>
    </message>
    <message>
        <source>Image: {percent}</source>
        <translation>Bild: {percent}</translation>
    </message>
    <message>
        <source>Settings</source>
        <translation>Einstellungen</translation>
    </message>
    <message>
        <source>Quit</source>
        <translation>Beenden</translation>
    </message>
</context>
<context>
    <name>format</name>
    <message>
        <source>{used} of {total}</source>
        <translation>{used} von {total}</translation>
    </message>
    <message>
        <source>today {time}</source>
        <translation>heute {time}</translation>
    </message>
    <message>
        <source>yesterday {time}</source>
        <translation>gestern {time}</translation>
    </message>
    <message>
        <source>step {done} of {total}</source>
        <translation>Schritt {done} von {total}</translation>
    </message>
    <message>
        <source>{done} of {total}</source>
        <translation>{done} von {total}</translation>
    </message>
    <message>
        <source>{time} left</source>
        <translation>noch {time}</translation>
    </message>
</context>
<context>
    <name>servers</name>
    <message>
        <source>LLM server</source>
        <translation>LLM-Server</translation>
    </message>
    <message>
        <source>Image engine</source>
        <translation>Bild-Engine</translation>
    </message>
</context>
<context>
    <name>words</name>
    <message>
        <source>Model</source>
        <translation>Modell</translation>
    </message>
    <message>
        <source>Diffusion model</source>
        <translation>Diffusionsmodell</translation>
    </message>
    <message>
        <source>Text encoder CLIP-L</source>
        <translation>Textkodierer CLIP-L</translation>
    </message>
    <message>
        <source>Text encoder CLIP-G</source>
        <translation>Textkodierer CLIP-G</translation>
    </message>
    <message>
        <source>Text encoder T5-XXL</source>
        <translation>Textkodierer T5-XXL</translation>
    </message>
    <message>
        <source>Text encoder LLM</source>
        <translation>Textkodierer LLM</translation>
    </message>
    <message>
        <source>Vision part of the LLM</source>
        <translation>Bildteil des LLM</translation>
    </message>
    <message>
        <source>VAE (decoder)</source>
        <translation>VAE (Dekoder)</translation>
    </message>
    <message>
        <source>Preview decoder TAESD</source>
        <translation>Vorschaudekoder TAESD</translation>
    </message>
    <message>
        <source>Vision projector</source>
        <translation>Bildprojektor</translation>
    </message>
    <message>
        <source>Weights</source>
        <translation>Gewichte</translation>
    </message>
    <message>
        <source>KV cache</source>
        <translation>KV-Cache</translation>
    </message>
    <message>
        <source>Recurrent state</source>
        <translation>Rekurrenter Zustand</translation>
    </message>
    <message>
        <source>Compute</source>
        <translation>Rechenpuffer</translation>
    </message>
    <message>
        <source>Output</source>
        <translation>Ausgabe</translation>
    </message>
</context>
</TS>
