"""The TypeScript of events: what handlers' annotations say to a page.

forms         one annotation, as a type; the types with names that it needs
schemas       the same of a JSON schema, by which packages tell what their classes are made of
text          how TypeScript is written: names, literals, unions, lists
declarations  an application's events, as one file of interfaces
"""
