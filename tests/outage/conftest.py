from tests.outage import database as own

database = own.database
